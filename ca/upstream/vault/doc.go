// Package vault has roots of the mesh live in HashiCorp Vault's PKI engine.
//
// Vault holds the roots, or intermediates under outside roots, each an issuer of one
// mount by its name, and signs the issuer of each replica of ensignd; the issuer's
// private key never leaves its process, and a root's never leaves Vault.
//
//	place, err := vault.New(vault.Config{Address: …, Mount: "ensign", Issuer: "ensign-1",
//		Auth: vault.TokenFile(daily), RotationAuth: vault.TokenFile(rotation), TrustDomain: td, Ledger: led})
//	go place.Run(ctx)                                     // keeps the daily token alive, and looks how Vault is
//	name, root, err := place.First(ctx)                   // the root that a new mesh begins with
//	root, err = place.Open(ctx, name, chain)              // one that the ledger tells of: asks nobody
//	root, err = place.Make(ctx, "ensign-x7k2")            // another, beside those that are there
//	chain, err := root.CertifyIssuer(ctx, request)
//
// Package rotation drives all of that: a [Place] is one of its places.
//
// # Leaves
//
// With [Config].Role no key outside of Vault signs anything: Vault certifies no issuers,
// but signs each leaf by that role of the mount (a root is a [ca.Remote] then), and the
// control plane's own by the role with "-server" behind its name. The policy leaves takes
// the place of daily. Each issuance waits for Vault, and without it there is none.
//
// # Two credentials
//
// The daily ones sign what is named "Ensign issuer …", and are all that ensignd needs
// on most days. Those of the rotation make roots, and sign what is named "Ensign
// root …": the link from one root to the next, which agents follow that were away. They
// are read when a root is made or linked and may be missing until then
// ([ErrNoRotation] where ensignd was told of none). The policies of both are in
// deploy/vault, and allow no more.
//
// # What Vault is trusted with
//
// It says once which root there is by a name: when the mesh begins with it or it is
// made. From then on that is the root, as the ledger tells it, whatever Vault has under
// the name later: what another one signed is refused ([ErrOtherRoot]), so that no root
// comes into force before workloads have it, and a restart needs no Vault. All that
// Vault signs is compared with what was asked ([ErrAnswer]).
//
// # When Vault is not well
//
// Every call ends within [Config].Timeout, login included, with an error that says
// what is wrong and what cures it; [Place.Healthy] says it again without asking, and since
// when. Run looks every 30 s, and more often while something is wrong, so that this is
// true though nobody needs a signature for days.
// Unless it signs leaves, nothing waits for Vault but the making of the next issuer or
// root: the issuer in force goes on to its end, and packages ca and rotation try again. A
// root that was made while its answer was lost is found by its name.
//
// Under an outside root the next one is made by people: [Place.Make] says what to type
// ([ErrByHand]), and finds it when it is there.
package vault
