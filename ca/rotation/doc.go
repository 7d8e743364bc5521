// Package rotation replaces the root of the mesh while nobody notices.
//
// Its one durable state is the ledger: each step is one entry, written before the step
// takes effect, and where a rotation stands is a pure fold over all of them. A
// [Manager] keeps that state, is the [ca.Upstream] of the CA, and tells whoever
// distributes roots what is to be trusted ([Manager.Trust]).
//
// A rotation goes through these steps, each behind a gate whose population is every
// instance with a live SVID and whose evidence is what Envoys have acknowledged:
//
//	preparing     the new root is made beside the old one
//	distributing  everybody is told to trust both        gate: all have acknowledged both
//	activating    the new root signs; SVIDs are renewed   gate: nobody lives on the old one
//	retiring      everybody is told to trust the new one  gate: all have acknowledged that
//	done
//
// Roots come back, in a rollback, and reports come late. So what Envoy has acknowledged
// counts for a bundle only if the report names the [Trust] of this very step by its
// sequence, which is the ledger's: no clock is asked.
//
// A rollback is the same machine with old and new exchanged, begun at the step that
// undoes what was done.
//
// Roots live in places ([Place]), which may be away. Nothing here asks one how it is:
// a place says of each root what it knows ([Place].Healthy, an [Ailment] where since when
// is known), and [Status] shows that of each root that signs, is trusted, or may be gone
// back to.
package rotation
