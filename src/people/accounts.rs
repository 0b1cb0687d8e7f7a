//! Accounts: who registers, logs in, changes, leaves. Decides; statements are the repository's, hashing that of
//! [`Passwords`]. Whatever must hold between two rows is one transaction.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actors::player::{Address, UserId};
use sea_orm::{DatabaseTransaction, DbErr};
use sha2::{Digest as _, Sha256};

use super::{
    attempts::Attempts,
    groups,
    model::{self, Export, SignedIn, day_of, user_by_chance},
    names::{CHARACTERS_MAX, MARKS_MAX, Name, NameError, folded},
    passwords::{Busy, Password, PasswordError, Passwords},
    repository::{
        accounts, export, players, reports,
        revocation::{Revocation, Revoked, revoke_in, standing},
        user as user_of,
    },
};
use crate::{
    database::{Database, Failure, Trouble},
    hex::to_hex,
};

/// Characters of a code that sets a new password, without those that are mistaken for others (Crockford's base 32).
const CODE_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 12 × 5 = 60 bits, at a guess a second for an hour: one in 3 × 10^14.
const CODE_CHARACTERS: usize = 12;

/// A code is good for so long.
pub const CODE_LIFETIME: Duration = Duration::from_secs(3600);

/// Why an account did not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AccountError {
    /// The database did not (503).
    #[error("{0}")]
    Database(#[from] Trouble),
    /// Too many passwords wait (503).
    #[error("{0}")]
    Busy(#[from] Busy),
    /// No name (422).
    #[error("{0}")]
    Name(#[from] NameError),
    /// No password (422).
    #[error("{0}")]
    Password(#[from] PasswordError),
    /// Somebody has it, or one that looks the same (409).
    #[error("somebody has that name, or one that looks the same")]
    NameTaken,
    /// No such name, or not its password, or code: which one is not said (401).
    #[error("name or password is wrong")]
    Wrong,
    /// Too many attempts (429 with Retry-After).
    #[error("too many attempts: wait for {} seconds", .0.as_millis().div_ceil(1000))]
    TooSoon(Duration),
    /// Operators keep it out (403).
    #[error("this account is banned")]
    Banned,
    /// There is no account (404).
    #[error("there is no such account")]
    NoAccount,
}

/// Who asks, with a password or a code.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Where from; none if it is not counted.
    pub address: Option<Address>,
    /// The identity of the request's cookie, if it has one.
    pub identity: Option<UserId>,
}

/// The service; a handle.
#[derive(Debug, Clone)]
pub struct Accounts {
    database: Database,
    passwords: Passwords,
    attempts: Arc<Mutex<Attempts>>,
}

impl Accounts {
    /// Of that database, with these threads.
    pub fn new(database: Database, passwords: Passwords) -> Self {
        Self { database, passwords, attempts: Arc::default() }
    }

    /// Makes an account of an anonymous identity, which keeps its boxes; of a new one if there is none, or if it has
    /// an account already or has moved into one. However many do this at once, each identity and each name is given once.
    ///
    /// # Errors
    /// [`AccountError::Name`], `Password`, `NameTaken`, `Banned`, `Busy`, `Database`.
    pub async fn register(
        &self,
        anonymous: Option<UserId>,
        name: &str,
        password: &str,
        now_ms: u64,
    ) -> Result<SignedIn, AccountError> {
        let (name, password) = (Name::parse(name)?, Password::parse(password)?);
        // Hashing is dear: not for a name that is taken.
        if self.by_name(name.folded()).await?.is_some() {
            return Err(AccountError::NameTaken);
        }
        let hash = self.passwords.hash(password).await?;
        self.database
            .write(async move |transaction: &DatabaseTransaction| {
                if accounts::by_name(transaction, &name.folded()).await?.is_some() {
                    return Err(Failure::Refused(AccountError::NameTaken));
                }
                let mut user = user_by_chance();
                if let Some(anonymous) = anonymous {
                    if standing(transaction, anonymous).await?.is_banned {
                        return Err(Failure::Refused(AccountError::Banned));
                    }
                    let row = players::ensure(transaction, anonymous, now_ms).await?;
                    let has_account = accounts::of(transaction, anonymous).await?.is_some();
                    if row.moved_to.is_none() && !has_account {
                        user = anonymous;
                    }
                }
                players::ensure(transaction, user, now_ms).await?;
                accounts::insert(transaction, user, &name, &hash, now_ms).await?;
                let epoch = standing(transaction, user).await?.epoch;
                let has_moved = anonymous == Some(user);
                Ok(SignedIn { user, epoch, name: name.to_string(), has_moved })
            })
            .await
    }

    /// Logs in. What the visitor's anonymous identity has checked goes to the account, at most once in its life.
    ///
    /// # Errors
    /// [`AccountError::Wrong`], `TooSoon`, `Banned`, `Busy`, `Database`.
    pub async fn log_in(
        &self,
        visitor: &Visitor,
        name: &str,
        password: &str,
        now_ms: u64,
    ) -> Result<SignedIn, AccountError> {
        let folded = typed(name);
        let account = self.judge(visitor, &folded, password, now_ms).await?;
        let (user, hash) = (number_of(&account)?, account.password);
        let anonymous = visitor.identity;
        self.database
            .write(async move |transaction: &DatabaseTransaction| {
                let account = accounts::lock(transaction, user).await?;
                // It may have been changed or deleted while the password was judged.
                let Some(account) = account.filter(|account| account.password == hash) else {
                    return Err(Failure::Refused(AccountError::Wrong));
                };
                sign_in(transaction, user, account.name, anonymous, now_ms).await
            })
            .await
    }

    /// Judges a password, and counts the attempt.
    async fn judge(
        &self,
        visitor: &Visitor,
        folded: &str,
        password: &str,
        now_ms: u64,
    ) -> Result<accounts::Row, AccountError> {
        let begun = self.attempts().begin(visitor.address, folded, now_ms);
        begun.map_err(AccountError::TooSoon)?;
        let judged = self.matching(folded, password).await;
        match &judged {
            Ok(_) => self.attempts().succeeded(folded),
            Err(AccountError::Wrong) => {}
            // Nobody has judged it.
            Err(_) => self.attempts().undo(visitor.address, folded),
        }
        judged
    }

    async fn matching(&self, folded: &str, password: &str) -> Result<accounts::Row, AccountError> {
        // Nobody has a password that is none.
        let password = Password::parse(password).map_err(|_| AccountError::Wrong)?;
        let account = self.by_name(folded.to_owned()).await?;
        let hash = account.as_ref().map(|account| account.password.clone());
        let is_right = self.passwords.verify(password, hash).await?;
        account.filter(|_| is_right).ok_or(AccountError::Wrong)
    }

    async fn by_name(&self, folded: String) -> Result<Option<accounts::Row>, AccountError> {
        let find = async move |connection: &_| Ok(accounts::by_name(connection, &folded).await?);
        self.database.read(find).await
    }

    async fn account_of(&self, user: UserId) -> Result<accounts::Row, AccountError> {
        let find = async move |connection: &_| Ok(accounts::of(connection, user).await?);
        let found: Result<_, AccountError> = self.database.read(find).await;
        found?.ok_or(AccountError::NoAccount)
    }

    /// The account of a user, if it has one.
    ///
    /// # Errors
    /// [`AccountError::NoAccount`], `Database`.
    pub async fn find(&self, user: UserId) -> Result<model::Account, AccountError> {
        let row = self.account_of(user).await?;
        let created_ms = row.created_ms.cast_unsigned();
        Ok(model::Account { user, name: row.name, created_ms })
    }

    /// Gives an account another name.
    ///
    /// # Errors
    /// [`AccountError::Name`], `NameTaken`, `NoAccount`, `Database`.
    pub async fn rename(&self, user: UserId, name: &str, now_ms: u64) -> Result<(), AccountError> {
        let name = Name::parse(name)?;
        self.database
            .write(async move |transaction: &DatabaseTransaction| {
                let Some(_) = accounts::lock(transaction, user).await? else {
                    return Err(Failure::Refused(AccountError::NoAccount));
                };
                let other = accounts::by_name(transaction, &name.folded()).await?;
                if other.is_some_and(|other| user_of(other.player).ok() != Some(user)) {
                    return Err(Failure::Refused(AccountError::NameTaken));
                }
                Ok(accounts::rename(transaction, user, &name, now_ms).await?)
            })
            .await
    }

    /// Sets another password, which ends all cookies; returns what to seal the visitor's next one with.
    ///
    /// # Errors
    /// [`AccountError::Password`], `Wrong` (the old one), `TooSoon`, `NoAccount`, `Busy`, `Database`.
    pub async fn change_password(
        &self,
        visitor: &Visitor,
        user: UserId,
        old: &str,
        new: &str,
        now_ms: u64,
    ) -> Result<Revoked, AccountError> {
        let new = Password::parse(new)?;
        let before = self.account_of(user).await?;
        let judged = self.judge(visitor, &before.folded, old, now_ms).await?;
        let new = self.passwords.hash(new).await?;
        self.database
            .write(async move |transaction: &DatabaseTransaction| {
                locked_as(transaction, user, &judged.password).await?;
                accounts::set_password(transaction, user, &new, now_ms).await?;
                Ok(revoke_in(transaction, user, Revocation::AllCookies, now_ms).await?)
            })
            .await
    }

    /// Deletes an account: name, password, memberships. What it has checked stays, and is nobody's. Ends all cookies.
    ///
    /// # Errors
    /// [`AccountError::Wrong`], `TooSoon`, `NoAccount`, `Busy`, `Database`.
    pub async fn delete(
        &self,
        visitor: &Visitor,
        user: UserId,
        password: &str,
        now_ms: u64,
    ) -> Result<Revoked, AccountError> {
        let before = self.account_of(user).await?;
        let judged = self.judge(visitor, &before.folded, password, now_ms).await?;
        self.database
            .write(async move |transaction: &DatabaseTransaction| {
                locked_as(transaction, user, &judged.password).await?;
                groups::leave_all(transaction, user).await?;
                reports::forget_reporter(transaction, user).await?;
                accounts::delete(transaction, user).await?;
                Ok(revoke_in(transaction, user, Revocation::AllCookies, now_ms).await?)
            })
            .await
    }

    /// Everything that there is about a user, with or without an account.
    ///
    /// # Errors
    /// [`AccountError::Database`].
    pub async fn export(&self, user: UserId) -> Result<Export, AccountError> {
        let read = async move |connection: &_| Ok(export::export(connection, user).await?);
        self.database.read(read).await
    }

    /// Sets a new password by a code, which is used up; ends all cookies, and logs in.
    ///
    /// # Errors
    /// [`AccountError::Wrong`], `Password`, `TooSoon`, `Banned`, `Busy`, `Database`.
    pub async fn redeem(
        &self,
        visitor: &Visitor,
        name: &str,
        code: &str,
        password: &str,
        now_ms: u64,
    ) -> Result<SignedIn, AccountError> {
        let password = Password::parse(password)?;
        let (folded, digest) = (typed(name), digest_of(code));
        let begun = self.attempts().begin(visitor.address, &folded, now_ms);
        begun.map_err(AccountError::TooSoon)?;
        let done = self.redeem_judged(&folded, digest, password, visitor.identity, now_ms).await;
        match &done {
            Ok(_) => self.attempts().succeeded(&folded),
            Err(AccountError::Wrong) => {}
            // Nobody has judged it.
            Err(_) => self.attempts().undo(visitor.address, &folded),
        }
        done
    }

    async fn redeem_judged(
        &self,
        folded: &str,
        digest: String,
        password: Password,
        anonymous: Option<UserId>,
        now_ms: u64,
    ) -> Result<SignedIn, AccountError> {
        let account = self.by_name(folded.to_owned()).await?;
        let account = account.filter(|account| is_good(account, &digest, now_ms));
        let user = number_of(&account.ok_or(AccountError::Wrong)?)?;
        let hash = self.passwords.hash(password).await?;
        self.database
            .write(async move |transaction: &DatabaseTransaction| {
                let account = accounts::lock(transaction, user).await?;
                // Somebody else may have used it up meanwhile.
                let account = account.filter(|account| is_good(account, &digest, now_ms));
                let Some(account) = account else {
                    return Err(Failure::Refused(AccountError::Wrong));
                };
                accounts::set_password(transaction, user, &hash, now_ms).await?;
                let signed = sign_in(transaction, user, account.name, anonymous, now_ms).await?;
                let raised = revoke_in(transaction, user, Revocation::AllCookies, now_ms).await?;
                Ok(SignedIn { epoch: raised.epoch.unwrap_or(signed.epoch), ..signed })
            })
            .await
    }

    /// Notes that a player came today, which puts off that it is forgotten. Writes once a day a player; whoever has no row
    /// yet gets none.
    ///
    /// # Errors
    /// [`AccountError::Database`].
    pub async fn see(&self, user: UserId, now_ms: u64) -> Result<(), AccountError> {
        let day = day_of(now_ms);
        let look = async move |connection: &_| Ok(players::is_unseen(connection, user, day).await?);
        let is_unseen: Result<bool, AccountError> = self.database.read(look).await;
        if !is_unseen? {
            return Ok(());
        }
        let see = async move |transaction: &DatabaseTransaction| {
            Ok(players::see(transaction, user, day).await?)
        };
        self.database.write(see).await
    }

    /// Removes players without an account who did not come for `days`; one batch, and returns how many: ask again until
    /// there are none.
    ///
    /// # Errors
    /// [`AccountError::Database`].
    pub async fn expire_anonymous(&self, days: u32, now_ms: u64) -> Result<u64, AccountError> {
        let before_day = day_of(now_ms).saturating_sub(i32::try_from(days).unwrap_or(i32::MAX));
        self.database
            .write(async move |transaction: &DatabaseTransaction| {
                let (old, members) = players::lock_old(transaction, before_day).await?;
                for member in members {
                    groups::leave_all(transaction, member).await?;
                }
                players::remove(transaction, &old).await?;
                Ok(old.len() as u64)
            })
            .await
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        // Counts are right after whatever panicked.
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that somebody has typed, folded; of a text that is too long for one, as much as cannot be one.
fn typed(name: &str) -> String {
    let longest = CHARACTERS_MAX * (1 + MARKS_MAX);
    match name.char_indices().nth(longest + 1) {
        Some((end, _)) => folded(&name[..end]),
        None => folded(name),
    }
}

fn number_of(account: &accounts::Row) -> Result<UserId, AccountError> {
    user_of(account.player).map_err(|error| Trouble::Refused(error.to_string().into()).into())
}

/// The account that a password was judged for must still have it.
async fn locked_as(
    transaction: &DatabaseTransaction,
    user: UserId,
    hash: &str,
) -> Result<(), Failure<AccountError>> {
    match accounts::lock(transaction, user).await? {
        Some(account) if account.password == hash => Ok(()),
        Some(_) => Err(Failure::Refused(AccountError::Wrong)),
        None => Err(Failure::Refused(AccountError::NoAccount)),
    }
}

async fn sign_in(
    transaction: &DatabaseTransaction,
    user: UserId,
    name: String,
    anonymous: Option<UserId>,
    now_ms: u64,
) -> Result<SignedIn, Failure<AccountError>> {
    let standing = standing(transaction, user).await?;
    if standing.is_banned {
        return Err(Failure::Refused(AccountError::Banned));
    }
    let has_moved = match anonymous {
        Some(anonymous) => players::move_to(transaction, anonymous, user, now_ms).await?,
        None => false,
    };
    Ok(SignedIn { user, epoch: standing.epoch, name, has_moved })
}

/// Makes a code that sets a new password, in place of one there was: for an hour, and once.
///
/// # Errors
/// [`AccountError::NoAccount`], `Database`.
pub async fn reset_code(
    database: &Database,
    name: &str,
    now_ms: u64,
) -> Result<String, AccountError> {
    let folded = typed(name);
    let code = code_by_chance();
    let digest = digest_of(&code);
    let until_ms = now_ms + CODE_LIFETIME.as_millis() as u64;
    database
        .write(async move |transaction: &DatabaseTransaction| {
            let user = user_named(transaction, &folded).await?;
            Ok(accounts::set_code(transaction, user, &digest, until_ms).await?)
        })
        .await
        .map(|()| code)
}

/// Bans or readmits whoever has that name; returns the row that nodes follow.
///
/// # Errors
/// [`AccountError::NoAccount`], `Database`.
pub async fn set_banned(
    database: &Database,
    name: &str,
    is_banned: bool,
    now_ms: u64,
) -> Result<Revoked, AccountError> {
    let folded = typed(name);
    let what = if is_banned { Revocation::Ban } else { Revocation::Unban };
    database
        .write(async move |transaction: &DatabaseTransaction| {
            let user = user_named(transaction, &folded).await?;
            Ok(revoke_in(transaction, user, what, now_ms).await?)
        })
        .await
}

async fn user_named(
    transaction: &DatabaseTransaction,
    folded: &str,
) -> Result<UserId, Failure<AccountError>> {
    let account = accounts::by_name(transaction, folded).await?;
    let account = account.ok_or(Failure::Refused(AccountError::NoAccount))?;
    Ok::<_, DbErr>(user_of(account.player)?).map_err(Failure::Sql)
}

fn is_good(account: &accounts::Row, digest: &str, now_ms: u64) -> bool {
    let is_in_time = account.code_until_ms.is_some_and(|until| now_ms.cast_signed() < until);
    // Digests: how many bytes agree says nothing of the code.
    is_in_time && account.code.as_deref() == Some(digest)
}

/// In three groups of four, as people read it out.
fn code_by_chance() -> String {
    let mut code = String::with_capacity(CODE_CHARACTERS + 2);
    for at in 0..CODE_CHARACTERS {
        if at % 4 == 0 && at > 0 {
            code.push('-');
        }
        // 32 divides 256: each character is as likely.
        code.push(char::from(CODE_ALPHABET[usize::from(rand::random::<u8>() % 32)]));
    }
    code
}

/// SHA-256 suffices for 60 bits of chance that are good for an hour; a password would need more.
fn digest_of(code: &str) -> String {
    let typed =
        code.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        });
    let digest = Sha256::digest(typed.collect::<String>().as_bytes());
    to_hex(&digest)
}

#[cfg(test)]
mod tests;
