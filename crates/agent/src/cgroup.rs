//! What the control groups of a process say of it: its systemd unit, its container and its pod.
//!
//! A control group is a folder, and who may make folders in one is a matter of delegation: systemd
//! gives the part of the tree below a user's manager to that user, and runtimes give the part below
//! a container to that container. There anyone can make a folder with anyone's name. So a path is
//! read from the top, where only root makes folders: the first unit and the first container on the
//! way down are those that root put the process into, and what comes below is not looked at.

use std::fs;
use std::io;

/// The cgroup namespace of the machine (`PROC_CGROUP_INIT_INO` of the kernel).
const OF_THE_MACHINE: &str = "cgroup:[4026531835]";

/// What names a control group that no process can be brought back to.
const DELETED: &str = " (deleted)";

/// The longest name of a unit, in bytes (`systemd.unit(5)`).
const LONGEST_UNIT: usize = 255;

/// What container runtimes begin the name of a scope of systemd with.
const RUNTIMES: [&str; 5] = ["cri-containerd-", "crio-", "docker-", "libpod-", "nerdctl-"];

/// What control groups say of a process; or, for each, why they do not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Groups {
    pub(crate) unit: Result<String, String>,
    /// Below the manager of a user, who can make it look like any: the number of that user, and
    /// the name of the unit.
    pub(crate) user_unit: Result<(u32, String), String>,
    pub(crate) container: Result<String, String>,
    pub(crate) pod: Result<String, String>,
}

impl Groups {
    /// Asks the kernel.
    pub(crate) fn of(process: u32) -> Self {
        let read = || -> Result<Self, String> {
            sees_the_machine()?;
            let text = fs::read_to_string(format!("/proc/{process}/cgroup"))
                .map_err(|error| format!("the control groups cannot be read: {error}"))?;
            let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
            Self::read(&text, first.trim_end() == "systemd")
        };
        read().unwrap_or_else(Self::unknown)
    }

    /// Reads `proc_pid_cgroup(5)`: a line for each hierarchy, which is its number, its controllers
    /// and the path in it, between colons.
    fn read(text: &str, has_systemd: bool) -> Result<Self, String> {
        let mut unified = Path::default();
        let mut named = Path::default();
        let mut all = Vec::new();
        for line in text.lines() {
            let unreadable = || format!("the line {line:?} of the control groups cannot be read");
            let mut parts = line.splitn(3, ':');
            let (_, Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
            else {
                return Err(unreadable());
            };
            let path = Path::parse(path).ok_or_else(unreadable)?;
            match controllers {
                "" => unified = path.clone(),
                "name=systemd" => named = path.clone(),
                _ => {}
            }
            all.push(path);
        }
        // Where both hierarchies are used, systemd keeps them alike.
        let of_systemd = match (unified.is_root(), named.is_root()) {
            (true, _) => Ok(&named),
            (false, true) => Ok(&unified),
            (false, false) if unified == named => Ok(&unified),
            _ => Err("the hierarchies of control groups do not agree".to_owned()),
        };
        let of_systemd = match has_systemd {
            true => of_systemd,
            false => Err("the first process of the machine is not systemd".to_owned()),
        };
        let (unit, user_unit) = match of_systemd {
            Ok(path) => (path.unit(), path.user_unit()),
            Err(why) => (Err(why.clone()), Err(why)),
        };
        let (container, pod) = container_and_pod(&all);
        Ok(Self {
            unit,
            user_unit,
            container,
            pod,
        })
    }

    fn unknown(why: String) -> Self {
        Self {
            unit: Err(why.clone()),
            user_unit: Err(why.clone()),
            container: Err(why.clone()),
            pod: Err(why),
        }
    }
}

/// Whether paths begin at the top for this process. In a cgroup namespace of its own they begin
/// where it is itself, and whoever controls what is below there could take any name. A namespace
/// that the first process is in, too, is that of the machine, or of what passes for one.
fn sees_the_machine() -> Result<(), String> {
    let namespace = |process: &str| -> io::Result<String> {
        let link = fs::read_link(format!("/proc/{process}/ns/cgroup"))?;
        Ok(link.to_string_lossy().into_owned())
    };
    let own = namespace("self")
        .map_err(|error| format!("the cgroup namespace of the agent cannot be told: {error}"))?;
    if own == OF_THE_MACHINE || namespace("1").is_ok_and(|first| first == own) {
        return Ok(());
    }
    Err("the agent is in a cgroup namespace of its own; run it in that of the machine".to_owned())
}

/// The container and the pod that all hierarchies which say something agree on.
fn container_and_pod(paths: &[Path]) -> (Result<String, String>, Result<String, String>) {
    let mut found: Option<(String, Option<String>)> = None;
    for path in paths {
        let Some(container) = path.container() else {
            continue;
        };
        if found.as_ref().is_some_and(|found| *found != container) {
            let why = "the hierarchies of control groups do not agree".to_owned();
            return (Err(why.clone()), Err(why));
        }
        found = Some(container);
    }
    let deepest = paths.iter().max_by_key(|path| path.0.len());
    let Some((container, pod)) = found else {
        let place = deepest.map(Path::to_string).unwrap_or_default();
        let why = format!("the control group {place:?} is not one that a runtime makes as root");
        return (Err(why.clone()), Err(why));
    };
    let pod = pod.ok_or_else(|| "the container is of no pod".to_owned());
    (Ok(container), pod)
}

/// The names of the folders on the way down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Path(Vec<String>);

impl Path {
    /// The kernel writes no `..` to whoever sees the whole tree, and lets no name hold a line break.
    fn parse(text: &str) -> Option<Self> {
        let names = text.strip_prefix('/')?;
        if names.is_empty() {
            return Some(Self::default());
        }
        let names = names.split('/').map(|name| {
            let is_name = !matches!(name, "" | "." | "..")
                && !name.chars().any(char::is_control)
                && !name.ends_with(DELETED);
            is_name.then(|| name.to_owned())
        });
        names.collect::<Option<_>>().map(Self)
    }

    fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The unit of the system's manager.
    fn unit(&self) -> Result<String, String> {
        let (slices, rest) = self.below_slices();
        let name = rest.first().and_then(|name| unit_name(name));
        match (name, slices) {
            // Nothing but the first process is put outside of all slices.
            (Some(name), [_, ..]) => Ok(name.to_owned()),
            (Some("init.scope"), []) => Ok("init.scope".to_owned()),
            _ => Err(format!(
                "the control group {:?} is of no unit",
                self.to_string()
            )),
        }
    }

    /// The unit of a user's manager.
    fn user_unit(&self) -> Result<(u32, String), String> {
        let none = || {
            format!(
                "the control group {:?} is of no unit of a user",
                self.to_string()
            )
        };
        let (slices, rest) = self.below_slices();
        let [top, of_user] = slices else {
            return Err(none());
        };
        let user = rest.first().and_then(|unit| {
            let number = unit.strip_prefix("user@")?.strip_suffix(".service")?;
            let user: u32 = number.parse().ok()?;
            let is_its_own = top == "user.slice"
                && *of_user == format!("user-{user}.slice")
                && number == user.to_string();
            is_its_own.then_some(user)
        });
        let user = user.ok_or_else(none)?;
        let below = Self(rest.get(1..).unwrap_or_default().to_vec());
        let (_, rest) = below.below_slices();
        let unit = rest.first().and_then(|name| unit_name(name));
        Ok((user, unit.ok_or_else(none)?.to_owned()))
    }

    /// The slices that it begins with, each in the one that its name says, and the rest.
    fn below_slices(&self) -> (&[String], &[String]) {
        let mut parent = "";
        let mut count = 0;
        for name in &self.0 {
            let Some(stem) = name
                .strip_suffix(".slice")
                .filter(|stem| is_unit_text(stem))
            else {
                break;
            };
            let (above, last) = stem.rsplit_once('-').unwrap_or(("", stem));
            if above != parent || last.is_empty() {
                break;
            }
            parent = stem;
            count += 1;
        }
        self.0.split_at_checked(count).unwrap_or_default()
    }

    /// The first container on the way down, and its pod.
    fn container(&self) -> Option<(String, Option<String>)> {
        let (slices, rest) = self.below_slices();
        if let [_, ..] = slices {
            let scope = rest.first()?.strip_suffix(".scope")?;
            let of_runtime = RUNTIMES
                .iter()
                .find_map(|runtime| scope.strip_prefix(runtime));
            let id = of_runtime.and_then(container_id)?;
            let pod = slices.last().and_then(|slice| pod_of_slice(slice));
            return Some((id.to_owned(), pod));
        }
        let names: Vec<&str> = self.0.iter().map(String::as_str).collect();
        // Where everything of a cluster is below one more folder.
        let names = names.strip_prefix(&["kubelet"]).unwrap_or(&names);
        match names {
            ["docker", id, ..] => Some((container_id(id)?.to_owned(), None)),
            ["libpod_parent", id, ..] => {
                let id = container_id(id.strip_prefix("libpod-")?)?;
                Some((id.to_owned(), None))
            }
            ["kubepods", "burstable" | "besteffort", pod, id, ..] | ["kubepods", pod, id, ..] => {
                let pod = pod_uid(pod.strip_prefix("pod")?)?;
                let id = container_id(id.strip_prefix("crio-").unwrap_or(id))?;
                Some((id.to_owned(), Some(pod)))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}", self.0.join("/"))
    }
}

/// The name of a unit that can hold processes, of its folder.
fn unit_name(folder: &str) -> Option<&str> {
    // systemd puts this before names that the kernel keeps for itself.
    let name = folder.strip_prefix('_').unwrap_or(folder);
    is_unit(name).then_some(name)
}

/// Whether systemd would take it for the name of a unit that can hold processes
/// (`systemd.unit(5)`).
pub(crate) fn is_unit(name: &str) -> bool {
    let Some((stem, kind)) = name.rsplit_once('.') else {
        return false;
    };
    let holds_processes = matches!(kind, "mount" | "scope" | "service" | "socket" | "swap");
    holds_processes && name.len() <= LONGEST_UNIT && is_unit_text(stem) && !stem.starts_with('@')
}

fn is_unit_text(text: &str) -> bool {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    !text.is_empty() && text.bytes().all(may_stand)
}

/// Runtimes name containers by 32 random bytes.
pub(crate) fn container_id(text: &str) -> Option<&str> {
    (text.len() == 64 && text.bytes().all(is_hexadecimal)).then_some(text)
}

/// The pod of `kubepods-burstable-pod1234….slice`, in which `_` stands for `-`.
fn pod_of_slice(slice: &str) -> Option<String> {
    let stem = slice.strip_suffix(".slice")?;
    let (above, pod) = stem.rsplit_once("-pod")?;
    let above = above.strip_prefix("kubelet-").unwrap_or(above);
    let is_for_pods = matches!(
        above,
        "kubepods" | "kubepods-burstable" | "kubepods-besteffort"
    );
    let uid = pod.replace('_', "-");
    is_for_pods.then(|| pod_uid(&uid)).flatten()
}

/// A UUID; or, for a pod that the kubelet read from a file, the 32 digits of a digest.
pub(crate) fn pod_uid(text: &str) -> Option<String> {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let has_form = matches!(groups.as_slice(), [8, 4, 4, 4, 12] | [32]);
    let digits = text
        .bytes()
        .all(|byte| byte == b'-' || is_hexadecimal(byte));
    (has_form && digits).then(|| text.to_owned())
}

fn is_hexadecimal(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const POD: &str = "11111111-2222-3333-4444-555555555555";

    fn groups(text: &str) -> Groups {
        Groups::read(text, true).unwrap()
    }

    fn unified(path: &str) -> Groups {
        groups(&format!("0::{path}\n"))
    }

    fn unit(path: &str) -> Option<String> {
        unified(path).unit.ok()
    }

    fn user_unit(path: &str) -> Option<(u32, String)> {
        unified(path).user_unit.ok()
    }

    fn container(path: &str) -> Option<String> {
        unified(path).container.ok()
    }

    fn pod(path: &str) -> Option<String> {
        unified(path).pod.ok()
    }

    #[test]
    fn a_unit_is_the_first_one_below_the_slices() {
        let units = [
            ("/system.slice/nginx.service", "nginx.service"),
            ("/system.slice/nginx.service/worker", "nginx.service"),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                "getty@tty1.service",
            ),
            ("/system.slice/_cpu.service", "cpu.service"),
            ("/system.slice/dev-sda\\x2d1.swap", "dev-sda\\x2d1.swap"),
            (
                "/user.slice/user-1000.slice/session-3.scope",
                "session-3.scope",
            ),
            ("/init.scope", "init.scope"),
        ];
        for (path, expected) in units {
            assert_eq!(unit(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_folder_that_systemd_would_not_make_there_is_no_unit() {
        for path in [
            "/",
            "/system.slice",
            "/nginx.service",
            "/docker/nginx.service",
            "/system.slice/nginx",
            "/system.slice/nginx.slice",
            "/system.slice/nginx.timer",
            "/system.slice/ nginx.service",
            "/system.slice/nginx\u{e9}.service",
            "/system.slice/.service",
            "/system.slice/@tty1.service",
            "/system.slice/evil/nginx.service",
            "/system-getty.slice/getty@tty1.service",
            "/system.slice/user-1000.slice/nginx.service",
            "/-.slice/nginx.service",
            "/a.slice/a-.slice/nginx.service",
            "/lxc.payload.one/system.slice/nginx.service",
        ] {
            assert_eq!(unit(path), None, "{path}");
        }
        let long = format!("/system.slice/{}.service", "x".repeat(250));
        assert_eq!(unit(&long), None);
    }

    #[test]
    fn a_user_cannot_make_a_unit_of_the_system() {
        let own = "/user.slice/user-1000.slice/user@1000.service";
        for below in [
            "/app.slice/nginx.service",
            "/system.slice/nginx.service",
            "/nginx.service",
        ] {
            let path = format!("{own}{below}");
            assert_eq!(unit(&path).as_deref(), Some("user@1000.service"), "{path}");
            let of_user = Some((1000, "nginx.service".to_owned()));
            assert_eq!(user_unit(&path), of_user, "{path}");
        }
        let nested = format!("{own}/app.slice/app-gnome.slice/a.scope/b.service");
        assert_eq!(user_unit(&nested), Some((1000, "a.scope".to_owned())));
    }

    #[test]
    fn a_unit_of_a_user_is_one_below_the_manager_of_that_user() {
        for path in [
            "/system.slice/nginx.service",
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service",
            "/user.slice/user-1000.slice/user@1001.service/app.slice/a.service",
            "/user.slice/user-1000.slice/user@01000.service/app.slice/a.service",
            "/system.slice/user@1000.service/app.slice/a.service",
            "/system.slice/evil.service/user.slice/user-0.slice/user@0.service/a.service",
        ] {
            assert_eq!(user_unit(path), None, "{path}");
        }
    }

    #[test]
    fn without_systemd_there_are_no_units() {
        let groups = Groups::read("0::/system.slice/nginx.service\n", false).unwrap();
        assert!(groups.unit.is_err());
        assert!(groups.user_unit.is_err());
    }

    #[test]
    fn a_container_is_known_by_the_folder_that_its_runtime_made() {
        let kubepods = "/kubepods.slice/kubepods-burstable.slice";
        let slice = format!(
            "{kubepods}/kubepods-burstable-pod{}.slice",
            POD.replace('-', "_")
        );
        let kind = "/kubelet.slice/kubelet-kubepods.slice";
        let in_kind = format!("{kind}/kubelet-kubepods-pod{}.slice", POD.replace('-', "_"));
        let of_pods = [
            format!("{slice}/cri-containerd-{ID}.scope"),
            format!("{slice}/crio-{ID}.scope"),
            format!("{slice}/crio-{ID}.scope/container"),
            format!("{in_kind}/cri-containerd-{ID}.scope"),
            format!("/kubepods/burstable/pod{POD}/{ID}"),
            format!("/kubepods/besteffort/pod{POD}/crio-{ID}"),
            format!("/kubepods/pod{POD}/{ID}"),
            format!("/kubelet/kubepods/pod{POD}/{ID}"),
        ];
        for path in of_pods {
            assert_eq!(container(&path).as_deref(), Some(ID), "{path}");
            assert_eq!(pod(&path).as_deref(), Some(POD), "{path}");
        }
        let of_none = [
            format!("/docker/{ID}"),
            format!("/system.slice/docker-{ID}.scope"),
            format!("/system.slice/docker-{ID}.scope/init.scope"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/machine.slice/machine-libpod_pod_1.slice/libpod-{ID}.scope"),
            format!("/libpod_parent/libpod-{ID}"),
            format!("/system.slice/nerdctl-{ID}.scope"),
        ];
        for path in of_none {
            assert_eq!(container(&path).as_deref(), Some(ID), "{path}");
            assert_eq!(pod(&path), None, "{path}");
        }
        let digest = "0123456789abcdef0123456789abcdef";
        let from_a_file = format!("/kubepods/burstable/pod{digest}/{ID}");
        assert_eq!(pod(&from_a_file).as_deref(), Some(digest));
    }

    #[test]
    fn of_containers_within_containers_the_outermost_counts() {
        for below in [
            format!("docker/{OTHER}"),
            format!("system.slice/docker-{OTHER}.scope"),
            format!("kubepods/pod{POD}/{OTHER}"),
            format!("docker-{OTHER}.scope"),
        ] {
            for path in [
                format!("/docker/{ID}/{below}"),
                format!("/system.slice/docker-{ID}.scope/{below}"),
            ] {
                assert_eq!(container(&path).as_deref(), Some(ID), "{path}");
                assert_eq!(pod(&path), None, "{path}");
            }
        }
    }

    #[test]
    fn whoever_may_make_folders_cannot_pass_for_a_container() {
        for path in [
            format!("/user.slice/user-1000.slice/user@1000.service/docker-{ID}.scope"),
            format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
            format!("/user.slice/user-1000.slice/user@1000.service/docker/{ID}"),
            format!("/system.slice/evil.service/docker-{ID}.scope"),
            format!("/system.slice/evil.service/docker/{ID}"),
            format!("/lxc/one/docker/{ID}"),
            format!("/lxc.payload.one/{ID}"),
            format!("/evil/docker-{ID}.scope"),
            format!("/docker-{ID}.scope"),
            format!("/system.slice/docker-conmon-{ID}.scope"),
            format!("/system.slice/crio-conmon-{ID}.scope"),
            format!("/system.slice/docker-{}.scope", ID.to_uppercase()),
            format!("/system.slice/docker-{ID}0.scope"),
            format!("/system.slice/docker-{ID}"),
            format!("/docker/{ID} "),
            format!("/docker/x/{ID}"),
            format!("/kubepods/burstable/{POD}/{ID}"),
            format!("/kubepods/burstable/podx/{ID}"),
            format!("/kubepods/guaranteed/pod{POD}/{ID}"),
        ] {
            assert_eq!(container(&path), None, "{path}");
            assert_eq!(pod(&path), None, "{path}");
        }
        // A pod is named by the slices that the kubelet makes, and by no others.
        let slice = format!("/evil.slice/evil-pod{}.slice", POD.replace('-', "_"));
        let path = format!("{slice}/cri-containerd-{ID}.scope");
        assert_eq!(container(&path).as_deref(), Some(ID));
        assert_eq!(pod(&path), None);
    }

    #[test]
    fn hierarchies_that_disagree_say_nothing() {
        let disagree = format!("2:memory:/docker/{ID}\n1:cpu:/docker/{OTHER}\n0::/\n");
        assert!(groups(&disagree).container.is_err());
        let agree = format!("2:memory:/docker/{ID}\n1:cpu,cpuacct:/\n0::/docker/{ID}\n");
        assert_eq!(groups(&agree).container.as_deref(), Ok(ID));

        let named = "3:name=systemd:/system.slice/nginx.service\n";
        let unit = |unified: &str| groups(&format!("{named}0::{unified}\n")).unit.ok();
        assert_eq!(unit("/").as_deref(), Some("nginx.service"));
        assert_eq!(
            unit("/system.slice/nginx.service").as_deref(),
            Some("nginx.service")
        );
        assert_eq!(unit("/system.slice/other.service"), None);
    }

    #[test]
    fn lines_that_the_kernel_would_not_write_spoil_all() {
        for line in [
            "0::system.slice/nginx.service",
            "0::/../system.slice/nginx.service",
            "0::/system.slice/../nginx.service",
            "0::/system.slice//nginx.service",
            "0::/system.slice/./nginx.service",
            "0::/system.slice/nginx.service/",
            "0::/system.slice/nginx.service (deleted)",
            "0::/system.slice/\u{1b}[2J",
            "0:/system.slice",
            "nginx.service",
            "",
        ] {
            let text = format!("0::/system.slice/nginx.service\n{line}\n");
            assert!(Groups::read(&text, true).is_err(), "{line}");
        }
        // Whatever a name holds, a line break in it would begin a line that is none.
        let forged = format!("1:cpu:/a\n0::/docker/{ID}\nb\n");
        assert!(Groups::read(&forged, true).is_err());
        assert!(groups("").unit.is_err());
    }

    #[test]
    fn a_colon_may_stand_in_a_path() {
        assert_eq!(
            unit("/system.slice/a:b.service").as_deref(),
            Some("a:b.service")
        );
    }
}
