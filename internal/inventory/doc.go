// Package inventory holds what was issued, what is served and what was met
// against one another, and says what does not fit.
//
// It is pure: [Find] takes what the ledger, the mesh and the agents know, and
// answers findings of stable kinds:
//
//	orphan          a live SVID of an account or pod that is gone
//	expiring        a workload that is there and whose newest SVID was not renewed
//	unused          a live SVID that no proxy serves and nobody met
//	weak            a short RSA key, a life that is too long, a proof without a pod,
//	                a chain of renewals that no token has proven for long
//	unlogged        a certificate that is served or was met and that the ledger does not hold
//	revoked-in-use  a certificate that is cut off and served, or was met, all the same
//	surge           an identity that asked for more certificates than it may have
//	fork            an agent that was shown two histories of the ledger
//
// Superseded SVIDs that live on are no finding: a workload that renewed has
// several, and only its newest counts.
package inventory
