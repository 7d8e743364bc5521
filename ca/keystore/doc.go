// Package keystore keeps private keys in encrypted files.
//
// Every secret is a file of its own, DIR/NAME.key, sealed with AES-256-GCM under
// a key derived by HKDF-SHA256 (RFC 5869) from the key-encryption key ([KEK]),
// the file's random salt and its name: a file that is renamed, mixed up with
// another or changed by one bit does not open. Files are replaced whole, see
// the layout in sealed.go.
//
// The key-encryption key has no default and never lies beside the data:
//
//  1. kek, err := keystore.LoadKEK("/etc/ensign/kek", dataDir)
//  2. store, err := keystore.Open(filepath.Join(dataDir, "keys"), kek)
//  3. key, err := store.EnsureKey("token", newP256)
package keystore
