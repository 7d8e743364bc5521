// Package upstream says where roots live on this machine: built in, or imported. Each
// place is a [rotation.Place]; package vault beside it is the third.
//
// [Builtin] makes roots and keeps their keys in the key store, sealed. The first one
// comes from [Builtin.First], all later ones from [Builtin.Make], by name. In the data
// folder stand:
//
//	root.pem          the first root's certificate, once it is in force
//	root.pem.pending  the same before the ledger has it
//	root-NAME.pem     a later root's; needed only until the ledger has it
//
// The steps are ordered so that a crash between any two is picked up where it was left,
// with the same root:
//
//  1. the key is sealed and durable;
//  2. the certificate is durable (the first one's as pending);
//  3. the ledger has the root (the first one here, later ones by the rotation);
//  4. the first one's certificate gets its final name.
//
// What went missing later is an error and never replaced by a new root: a
// certificate without its key, a key without the certificate that the ledger shows
// it had ([ErrLost]), a root in force that the ledger lacks ([ErrUnrecorded]).
//
// A key may be away though its root is there, where it lives in a hardware module (package
// keystore/kms). [Builtin.Healthy] says what is known of that, and asks nobody.
//
// # A CA from elsewhere
//
// [Imported] takes the files of Istio's secret cacerts as the first root. If that CA may
// certify others, it certifies our issuers. If its path length is 0, as Istio's tools
// make it, it can't, and is the issuer itself: its key goes where issuers are kept, and
// package ca signs SVIDs with it. It is not limited to the trust domain, lives for long,
// and mostly may not sign CRLs; so the log says, and the way out is a rotation of the
// root, after which it may sign again only by a rollback.
//
// The steps: the folder is checked; the key is sealed; the issuer is kept; the ledger
// has the root. Until the last of them the folder must stay.
package upstream
