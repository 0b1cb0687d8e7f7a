//! `docker/kubernetes/`, put together by a real kubectl and judged by the schemas of Kubernetes, and what has to hold
//! between the manifests, the settings and the server.

mod rollout;

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::harness::server::{Setup, request};

const OVERLAYS: [&str; 2] = ["single", "cluster"];

/// A program that `cargo xtask test` puts into the target folder.
fn program(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in a target folder");
    let program = target.join("kubernetes").join(path);
    assert!(program.exists(), "{} is not there; cargo xtask test puts it there", program.display());
    program
}

/// Everything that `kubectl apply -k` would send.
struct Overlay {
    text: String,
    objects: Vec<Value>,
}

impl Overlay {
    fn render(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/kubernetes/overlays");
        let mut kubectl = Command::new(program("kubectl/bin/kubectl"));
        let ran = kubectl.arg("kustomize").arg(folder.join(name)).output().expect("it runs");
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
        let text = String::from_utf8(ran.stdout).expect("text");
        Self { objects: parsed(&text), text }
    }

    /// The only object of this kind and name.
    fn one(&self, kind: &str, name: &str) -> &Value {
        let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        let found: Vec<_> = self.objects.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{kind} {name}");
        found[0]
    }

    fn pod(&self) -> &Value {
        &self.one("Deployment", "billion")["spec"]["template"]["spec"]
    }

    fn container(&self) -> &Value {
        &self.pod()["containers"][0]
    }

    /// The environment that the container gets, without what comes from a Secret.
    fn environment(&self) -> BTreeMap<String, String> {
        let named = &self.container()["envFrom"][0]["configMapRef"]["name"];
        let settings = &self.one("ConfigMap", named.as_str().expect("a name"))["data"];
        let settings = settings.as_object().expect("a table").iter();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        settings.map(|(name, value)| (name.clone(), text(value))).collect()
    }

    /// The names of what comes from a Secret.
    fn secrets(&self) -> Vec<&str> {
        let variables = self.container()["env"].as_array().map_or(&[][..], Vec::as_slice);
        for variable in variables {
            assert!(variable["valueFrom"]["secretKeyRef"].is_object(), "{variable}");
        }
        variables.iter().filter_map(|variable| variable["name"].as_str()).collect()
    }

    /// A command of the server with that environment.
    fn setup(&self) -> Setup {
        let environment = self.environment().into_iter();
        let secrets = self.secrets().into_iter().map(|name| (name.to_owned(), "secret".to_owned()));
        let all = environment.chain(secrets);
        all.fold(Setup::bare(), |setup, (name, value)| setup.with_variable(&name, &value))
    }

    /// A setting as the server reads it there.
    fn seconds(&self, section: &str, key: &str) -> u64 {
        self.setting(section, key).as_integer().and_then(|s| s.try_into().ok()).expect("seconds")
    }

    fn setting(&self, section: &str, key: &str) -> toml::Value {
        let ran = self.setup().run(&["--print-settings"]);
        assert_eq!(ran.code, Some(0), "{}", ran.said);
        let settings: toml::Table = ran.printed().parse().expect("TOML");
        settings[section][key].clone()
    }

    /// How long preStop takes.
    fn pre_stop_s(&self) -> u64 {
        self.container()["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap_or(0)
    }

    fn grace_s(&self) -> u64 {
        self.pod()["terminationGracePeriodSeconds"].as_u64().expect("seconds")
    }
}

/// Documents of YAML, by the parser that comes with the validator.
fn parsed(text: &str) -> Vec<Value> {
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))";
    let mut python = Command::new(program("validate/bin/python3"));
    let child = python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("it runs");
    // Read to its end before anything is written.
    child.stdin.take().expect("stdin is piped").write_all(text.as_bytes()).expect("it reads");
    let ran = child.wait_with_output().expect("it ends");
    assert!(ran.status.success(), "no YAML:\n{text}");
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

/// Judges manifests by the schemas of Kubernetes.
fn validate(text: &str) -> Result<(), String> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("it can be written");
    let mut validator = Command::new(program("validate/bin/kubernetes-validate"));
    let ran = validator.arg("--strict").arg(file.path()).output().expect("it runs");
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let passed = said.matches(" passed for resource ").count();
    // Of a kind that it does not know it only warns.
    let documents = parsed(text).len();
    if ran.status.success() && passed == documents { Ok(()) } else { Err(said) }
}

#[test]
fn manifests_pass_the_schemas_of_kubernetes() {
    for name in OVERLAYS {
        let overlay = Overlay::render(name);
        validate(&overlay.text).unwrap_or_else(|said| panic!("{name}: {said}"));
        for (right, wrong) in [
            ("periodSeconds: 2", "periodSecond: 2"),
            ("kind: NetworkPolicy", "kind: NetworkPolice"),
            ("containerPort: 8080", "containerPort: eighty"),
            ("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: \"true\""),
        ] {
            assert!(overlay.text.contains(right), "{name}: {right}");
            let broken = overlay.text.replacen(right, wrong, 1);
            assert!(validate(&broken).is_err(), "{name}: {wrong} would not be noticed");
        }
    }
}

#[test]
fn the_server_accepts_the_settings_of_the_manifests() {
    for name in OVERLAYS {
        let overlay = Overlay::render(name);
        let checked = overlay.setup().run(&["--check"]);
        assert_eq!(checked.code, Some(0), "{name}: {}", checked.said);
        assert!(!checked.said.contains("note: "), "{name}: {}", checked.said);
        let other = overlay.setup().with("SERVER__DRAIN_DELAYS", 5).run(&["--check"]);
        assert_eq!(other.code, Some(2), "a mistake would be noticed");

        let of_port = |name: &str| {
            let ports = overlay.container()["ports"].as_array().expect("ports");
            let port = ports.iter().find(|port| port["name"] == name).expect("a port");
            format!(":{}", port["containerPort"])
        };
        let set = |section| overlay.setting(section, "address").as_str().map(ToOwned::to_owned);
        assert_eq!(set("server"), Some(of_port("players")), "{name}");
        assert_eq!(set("admin"), Some(of_port("operators")), "{name}");
        let cpus = overlay.container()["resources"]["requests"]["cpu"].as_str().expect("CPUs");
        let workers = overlay.setting("server", "workers").as_integer();
        assert_eq!(workers.map(|workers| workers.to_string()).as_deref(), Some(cpus), "{name}");
    }
}

#[test]
fn a_node_has_the_time_that_its_end_takes() {
    for name in OVERLAYS {
        let overlay = Overlay::render(name);
        let (drain, rest) = (
            overlay.seconds("server", "drain_delay_s"),
            overlay.seconds("server", "shutdown_timeout_s"),
        );
        let takes = overlay.pre_stop_s() + drain + rest;
        assert!(overlay.grace_s() > takes, "{name}: {} s for {takes} s", overlay.grace_s());
    }
    let cluster = Overlay::render("cluster");
    let probe = &cluster.container()["readinessProbe"];
    let noticed = probe["periodSeconds"].as_u64().expect("seconds")
        * probe["failureThreshold"].as_u64().expect("a number");
    assert!(cluster.seconds("server", "drain_delay_s") > noticed, "whoever asks /readyz notices");
    assert!(cluster.pre_stop_s() >= 5, "endpoints are withdrawn meanwhile");
    // With one node there is nobody else to be served by.
    let single = Overlay::render("single");
    assert_eq!((single.pre_stop_s(), single.seconds("server", "drain_delay_s")), (0, 0));
}

#[test]
fn probes_ask_what_the_server_answers_on_the_players_port() {
    let server = Setup::new(1000, 1).start();
    for name in OVERLAYS {
        let overlay = Overlay::render(name);
        for (probe, wanted) in [
            ("startupProbe", "/healthz"),
            ("readinessProbe", "/readyz"),
            ("livenessProbe", "/healthz"),
        ] {
            let asked = &overlay.container()[probe]["httpGet"];
            assert_eq!(
                (&asked["path"], &asked["port"]),
                (&wanted.into(), &"players".into()),
                "{probe}"
            );
            assert_eq!(request(server.address, "GET", wanted, &[]).status, 200, "{probe}");
        }
        let startup = &overlay.container()["startupProbe"];
        let patience = startup["periodSeconds"].as_u64().expect("seconds")
            * startup["failureThreshold"].as_u64().expect("a number");
        assert!(patience > overlay.seconds("redis", "start_timeout_s"), "{name}: {patience} s");
    }
}

#[test]
fn players_do_not_reach_the_operators_port() {
    for name in OVERLAYS {
        let overlay = Overlay::render(name);
        let of_kind = |kind: &str| {
            let found = overlay.objects.iter().filter(|object| object["kind"] == kind);
            found.cloned().collect::<Vec<_>>()
        };
        let ports = |service: &Value| service["spec"]["ports"].as_array().expect("ports").clone();
        let players = ports(overlay.one("Service", "billion"));
        assert!(players.len() == 1 && players[0]["targetPort"] == "players", "{name}: {players:?}");
        for service in of_kind("Service") {
            let outside = service["spec"]["type"].as_str().is_some_and(|kind| kind != "ClusterIP");
            assert!(!outside, "{name}: {service}");
        }
        for ingress in of_kind("Ingress") {
            for rule in ingress["spec"]["rules"].as_array().expect("rules") {
                for path in rule["http"]["paths"].as_array().expect("paths") {
                    let to = &path["backend"]["service"];
                    assert_eq!(
                        (&to["name"], &to["port"]["name"]),
                        (&"billion".into(), &"players".into())
                    );
                }
            }
            assert!(ingress["spec"]["defaultBackend"].is_null());
        }
        let policy = &overlay.one("NetworkPolicy", "billion")["spec"];
        assert_eq!(policy["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
        let entries = policy["ingress"].as_array().expect("entries");
        let from = |port: &str| {
            let leads = |entry: &&Value| entry["ports"] == serde_json::json!([{ "port": port }]);
            let found: Vec<_> = entries.iter().filter(leads).map(|entry| &entry["from"]).collect();
            assert_eq!(found.len(), 1, "{name}: {port}");
            found[0].clone()
        };
        assert_eq!(entries.len(), 2, "{name}");
        assert_ne!(from("players"), from("operators"), "{name}");
    }
}

#[test]
fn a_node_runs_as_nobody_on_a_root_that_it_cannot_write_to() {
    let dockerfile =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/Dockerfile"));
    let dockerfile = dockerfile.expect("a file");
    for name in OVERLAYS {
        let overlay = Overlay::render(name);
        let (pod, own) =
            (&overlay.pod()["securityContext"], &overlay.container()["securityContext"]);
        assert_eq!(pod["runAsNonRoot"], true, "{name}");
        let user = format!("\nUSER {}:{}\n", pod["runAsUser"], pod["runAsGroup"]);
        assert!(dockerfile.contains(&user), "{name}: the image's is not {user}");
        assert_eq!(pod["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(own["capabilities"], serde_json::json!({ "drop": ["ALL"] }), "{name}");
        assert_eq!(overlay.pod()["automountServiceAccountToken"], false, "{name}");
        // REDIS_PORT of a Service called redis would be a setting.
        assert_eq!(overlay.pod()["enableServiceLinks"], false, "{name}");
        assert!(overlay.container()["resources"]["limits"]["memory"].is_string(), "{name}");
        let mounts = overlay.container()["volumeMounts"].as_array().expect("mounts");
        let paths: Vec<_> = mounts.iter().filter_map(|mount| mount["mountPath"].as_str()).collect();
        // The store, or where an import waits until it has been verified.
        let written = if name == "single" { "/srv/billion/data" } else { "/tmp" };
        assert_eq!(paths, [written], "{name}");
    }
    assert!(dockerfile.contains("\nWORKDIR /srv/billion\n"), "store.path is below it");
}

#[test]
fn one_node_is_never_two_and_of_many_one_may_go() {
    let single = Overlay::render("single");
    let deployment = &single.one("Deployment", "billion")["spec"];
    assert_eq!(
        (&deployment["replicas"], &deployment["strategy"]["type"]),
        (&1.into(), &"Recreate".into())
    );
    let claimed = &single.pod()["volumes"][0]["persistentVolumeClaim"]["claimName"];
    single.one("PersistentVolumeClaim", claimed.as_str().expect("a claim"));

    let cluster = Overlay::render("cluster");
    let deployment = cluster.one("Deployment", "billion");
    assert!(deployment["spec"]["replicas"].is_null(), "the autoscaler says how many");
    assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    let scaler = &cluster.one("HorizontalPodAutoscaler", "billion")["spec"];
    assert_eq!(scaler["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
    let budget = &cluster.one("PodDisruptionBudget", "billion")["spec"];
    assert_eq!(budget["selector"], deployment["spec"]["selector"]);
    let (least, away) = (scaler["minReplicas"].as_u64(), budget["maxUnavailable"].as_u64());
    assert!(away < least && least >= Some(2), "{away:?} of {least:?}");
}

#[test]
fn the_ingress_is_more_patient_with_players_than_a_node() {
    for name in OVERLAYS {
        let overlay = Overlay::render(name);
        let annotations = &overlay.one("Ingress", "billion")["metadata"]["annotations"];
        for (key, setting) in [
            ("nginx.ingress.kubernetes.io/proxy-read-timeout", "idle_timeout_s"),
            ("nginx.ingress.kubernetes.io/proxy-send-timeout", "drain_timeout_s"),
            ("nginx.org/proxy-read-timeout", "idle_timeout_s"),
            ("nginx.org/proxy-send-timeout", "drain_timeout_s"),
        ] {
            let theirs = annotations[key].as_str().unwrap_or_else(|| panic!("{name}: {key}"));
            let theirs: u64 = theirs.trim_end_matches('s').parse().expect("seconds");
            assert!(theirs > overlay.seconds("session", setting), "{name}: {key} {theirs}");
        }
        let host = overlay.one("Ingress", "billion")["spec"]["rules"][0]["host"].clone();
        let origin = overlay.setting("server", "allowed_origins")[0].clone();
        let host = format!("https://{}", host.as_str().expect("a name"));
        assert_eq!(origin.as_str(), Some(&*host), "{name}");
    }
}
