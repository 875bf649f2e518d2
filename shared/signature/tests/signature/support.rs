//! Keys and commits made by the real `ssh-keygen`, `gpg` and `git`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use jiff::{SignedDuration, Timestamp};
use roster_git::{CommitSignature, Location, Repository};
use roster_signature::{AllowedKeys, SignatureProblem, Signer, verify};
use tempfile::TempDir;

pub(crate) fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that does not read to the end says so by its status.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A repository, with a worktree.
pub(crate) struct Origin(TempDir);

impl Origin {
    pub(crate) fn new() -> Self {
        let origin = Self(TempDir::new().unwrap());
        origin.git(&["init", "--quiet"]);
        origin
    }

    /// Runs a git that no configuration or environment of the machine changes.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        for (key, _) in env::vars_os() {
            if key.to_string_lossy().starts_with("GIT_") {
                command.env_remove(key);
            }
        }
        command
            .current_dir(self.0.path())
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"])
            .args(args);
        String::from_utf8(run(&mut command, b"")).unwrap()
    }

    pub(crate) fn sign_with(&self, options: &[(&str, &str)]) {
        for (key, value) in options {
            self.git(&["config", key, value]);
        }
    }

    /// Makes a signed commit, and answers its signature.
    pub(crate) fn signed(&self) -> CommitSignature {
        self.git(&["commit", "--quiet", "--allow-empty", "--gpg-sign", "--message", "Change a price (#7)"]);
        self.signature().unwrap()
    }

    /// Signs the newest commit anew with a message in Latin-1, `Café`, and answers its signature.
    pub(crate) fn signed_in_latin_1(&self) -> CommitSignature {
        let message = self.0.path().join(".git/message");
        fs::write(&message, b"Caf\xe9\n").unwrap();
        let encoding = ["-c", "i18n.commitEncoding=ISO-8859-1", "commit", "--quiet", "--amend", "--gpg-sign", "--file"];
        self.git(&[&encoding[..], &[message.to_str().unwrap()]].concat());
        self.signature().unwrap()
    }

    /// The signature of the newest commit.
    pub(crate) fn signature(&self) -> Option<CommitSignature> {
        let head = self.git(&["rev-parse", "HEAD"]);
        let location = Location::parse(self.0.path().to_str().unwrap()).unwrap();
        let repository = Repository::open(&location, Path::new("/nonexistent")).unwrap();
        repository.signature(head.trim().parse().unwrap()).unwrap()
    }
}

/// An SSH key.
pub(crate) struct SshKey {
    dir: TempDir,
    /// The line of its `.pub` file.
    pub(crate) public: String,
}

impl SshKey {
    pub(crate) fn new(args: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("key");
        run(Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "ada's key", "-f"]).arg(&path).args(args), b"");
        let public = fs::read_to_string(path.with_extension("pub")).unwrap();
        Self { dir, public }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// As `ssh-keygen` tells it.
    pub(crate) fn fingerprint(&self) -> String {
        let told = String::from_utf8(run(Command::new("ssh-keygen").args(["-l", "-f"]).arg(self.path()), b"")).unwrap();
        told.split(' ').nth(1).unwrap().to_owned()
    }

    pub(crate) fn origin(&self) -> Origin {
        let origin = Origin::new();
        origin.sign_with(&[("gpg.format", "ssh"), ("user.signingkey", self.path().to_str().unwrap())]);
        origin
    }

    /// Signs a text by hand.
    pub(crate) fn sign(&self, args: &[&str], text: &[u8]) -> String {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "sign", "-f"]).arg(self.path()).args(args);
        String::from_utf8(run(&mut command, text)).unwrap()
    }
}

/// A home of `gpg`, whose agent ends with it.
pub(crate) struct GpgHome(TempDir);

impl GpgHome {
    /// In `/tmp`, whatever `TMPDIR` says: the path of the agent's socket may have 107 characters.
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap())
    }

    pub(crate) fn gpg(&self, args: &[&str]) -> String {
        self.gpg_with_input(args, b"")
    }

    pub(crate) fn gpg_with_input(&self, args: &[&str], input: &[u8]) -> String {
        let mut command = Command::new("gpg");
        let quiet = ["--batch", "--quiet", "--no-tty", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""];
        command.env("GNUPGHOME", self.0.path()).args(quiet).args(args);
        String::from_utf8_lossy(&run(&mut command, input)).into_owned()
    }

    /// Makes a key, and answers its fingerprint.
    pub(crate) fn key(&self, user: &str, algorithm: &str, usage: &str, expires: &str) -> String {
        self.gpg(&["--quick-generate-key", user, algorithm, usage, expires]);
        let listed = self.gpg(&["--with-colons", "--list-keys", user]);
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    pub(crate) fn export(&self, fingerprint: &str) -> String {
        self.gpg(&["--armor", "--export", fingerprint])
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A repository that signs with a key, or a subkey of it that may.
    pub(crate) fn origin(&self, fingerprint: &str) -> Origin {
        let origin = Origin::new();
        let program = self.0.path().join("sign");
        let home = self.0.path().display();
        fs::write(&program, format!("#!/bin/sh\nGNUPGHOME='{home}' exec gpg --batch \"$@\"\n")).unwrap();
        run(Command::new("chmod").arg("700").arg(&program), b"");
        origin.sign_with(&[("gpg.program", program.to_str().unwrap()), ("user.signingkey", fingerprint)]);
        origin
    }
}

impl Drop for GpgHome {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").env("GNUPGHOME", self.0.path()).args(["--kill", "all"]).status();
    }
}

pub(crate) fn allowed(ssh: &[&str], gpg: &[&str]) -> AllowedKeys {
    let owned = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
    AllowedKeys::parse(&owned(ssh), &owned(gpg)).unwrap()
}

/// The verdict of now.
pub(crate) fn judged(signature: &CommitSignature, allowed: &AllowedKeys) -> Result<Signer, String> {
    judged_in(0, signature, allowed)
}

/// The verdict in some days.
pub(crate) fn judged_in(days: i64, signature: &CommitSignature, allowed: &AllowedKeys) -> Result<Signer, String> {
    let now = Timestamp::now() + SignedDuration::from_hours(days * 24);
    verify(Some(signature), allowed, now).map_err(|problem: SignatureProblem| problem.to_string())
}
