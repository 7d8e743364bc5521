// Package upstream says where the root lives. Each place is one implementation
// of [ca.Upstream]; today there is one, the root that is built in.
//
// [OpenBuiltin] makes a root at the first start and loads it at every later
// one. In the data folder stand:
//
//	root.pem          the root certificate, once it is in force
//	root.pem.pending  the same before the ledger has it
//	bundle.pem        the roots to trust, for agents and for people
//
// The key is in the key store, sealed. The steps are ordered so that a crash
// between any two is picked up where it was left, with the same root:
//
//  1. the key is sealed and durable;
//  2. the certificate is durable as pending;
//  3. the ledger has the root;
//  4. the certificate gets its final name;
//  5. bundle.pem is written.
//
// What went missing later is an error and never replaced by a new root: a
// certificate without its key, a key without the certificate that the ledger shows
// it had ([ErrLost]), a root in force that the ledger lacks ([ErrUnrecorded]).
package upstream
