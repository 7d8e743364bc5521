// Package vault has the root of the mesh live in HashiCorp Vault's PKI engine.
//
// Vault holds the root, or an intermediate under an outside root, and signs the
// issuer of each replica; the issuer's private key never leaves its process.
//
//	client, err := vault.NewClient(vault.Config{Address: …, Mount: "ensign", Issuer: "ensign-1", Auth: vault.TokenFile(path)})
//	go client.Run(ctx)                         // keeps the token alive
//	up, err := vault.Open(ctx, client, vault.Place{Dir: …, TrustDomain: td, Ledger: led})
//	service, err := ca.New(ctx, ca.Config{Upstream: up, …})
//
// # What Vault is trusted with
//
// It says which root there is, once: [Open] records that root in the ledger and
// keeps it in bundle.pem. From then on these are the roots, whatever Vault says:
// an issuer under any other is refused ([ErrOtherRoot]), so that no root comes
// into force before workloads have it. It also means that a restart needs no Vault.
//
// What Vault signs is checked against what was asked ([ca.Upstream] allows another
// serial and an earlier end): here what package ca cannot see, there the rest.
//
// # When Vault is not well
//
// Every call ends within [Config].Timeout, login included, with an error that says
// what is wrong and what cures it. Nothing waits for Vault but the making of the
// next issuer: the one in force goes on to its end, and package ca tries again.
//
// The rights that Ensign needs in Vault are in deploy/vault, and no more.
package vault
