//! K3s's path of all nodes: one CA, one certificate and one token for a cluster.

use std::fs;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use toml::{Table, Value};

use crate::ports::NodePorts;

/// Below the cluster's folder; no name of a node has an underscore. The files are named as `naive-node --tls` reads them.
const FOLDER: &str = "k3s_files";
const CA: &str = "ca.pem";
const CERTIFICATE: &str = "node.pem";
const KEY: &str = "node.key";
const TOKEN: &str = "token";

/// The files of a cluster.
#[derive(Clone, Debug)]
pub struct K3sFiles {
    dir: PathBuf,
    token: String,
}

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
pub enum K3sFilesError {
    /// One cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No certificate can be made.
    #[error("no certificate could be made")]
    Certificate(#[from] rcgen::Error),
    /// The system has no randomness.
    #[error("no token could be made")]
    Token(#[source] io::Error),
}

impl K3sFiles {
    /// Writes them below the cluster's folder: a certificate for these addresses, good for servers and clients.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn make(
        cluster: &Path,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Result<Self, K3sFilesError> {
        let dir = cluster.join(FOLDER);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| K3sFilesError::File { path, source }
        };
        fs::create_dir_all(&dir).map_err(failed(&dir))?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).map_err(failed(&dir))?;
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "k3s-server-ca@dev-cluster");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let names = addresses.into_iter().map(|address| address.to_string());
        let mut own =
            CertificateParams::new(names.chain(["localhost".into()]).collect::<Vec<_>>())?;
        own.distinguished_name.push(DnType::CommonName, "dev-cluster");
        own.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let own_pem = own.signed_by(&key, &Issuer::new(ca, ca_key))?.pem();
        let files = Self { dir, token: token().map_err(K3sFilesError::Token)? };
        for (name, text) in [
            (CA, ca_pem),
            (CERTIFICATE, own_pem),
            (KEY, key.serialize_pem()),
            (TOKEN, format!("{}\n", files.token)),
        ] {
            let path = files.dir.join(name);
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let written =
                options.open(&path).and_then(|mut file| io::copy(&mut text.as_bytes(), &mut file));
            written.map_err(failed(&path))?;
        }
        Ok(files)
    }

    /// The CA.
    pub fn ca(&self) -> PathBuf {
        self.dir.join(CA)
    }

    /// The folder, as `naive-node --tls` takes it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A bootstrap token: as it is, both a join token and a bearer's.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Adds what a node needs to its configuration.
    pub fn configure(&self, config: &mut Table, ports: &NodePorts) {
        let path = |name: &str| Value::from(self.dir.join(name).to_string_lossy().into_owned());
        let keys = [
            ("listen", ports.k3s.to_string().into()),
            ("certificate", path(CERTIFICATE)),
            ("key", path(KEY)),
            ("ca", path(CA)),
            ("client_ca", path(CA)),
            ("token_file", path(TOKEN)),
        ];
        let table = config.entry("k3s").or_insert_with(|| Value::Table(Table::new()));
        if let Some(table) = table.as_table_mut() {
            table.extend(keys.map(|(key, value)| (key.to_owned(), value)));
        }
    }
}

/// `ID.SECRET` as kubeadm has it: 6 and 16 of `a-z0-9`.
fn token() -> io::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0; 22];
    fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let letter =
        |byte: &u8| LETTERS.get(usize::from(*byte % 32)).map_or('a', |&letter| letter.into());
    let mut token: String = random.iter().map(letter).collect();
    token.insert(6, '.');
    Ok(token)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::os::unix::fs::PermissionsExt as _;

    use super::K3sFiles;

    #[test]
    fn secrets_are_their_owners_alone_and_no_two_clusters_share_one() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let files = dirs
            .each_ref()
            .map(|dir| K3sFiles::make(dir.path(), [IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap());
        for name in ["node.key", "token"] {
            let mode = files[0].dir().join(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_ne!(files[0].token(), files[1].token());
        let parts: Vec<_> = files[0].token().split('.').map(str::len).collect();
        assert_eq!(parts, [6, 16]);
    }
}
