-- How far a part has come.
return {run, mark, count, link}
