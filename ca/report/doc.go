// Package report keeps what agents say about their Envoys, in one SQLite file.
//
//	store, err := report.Open(ctx, report.Config{Path: "data/reports.db"})
//	err = store.Put(ctx, report.Report{…}) // nil: it is on the disk
//	reports, err := store.All(ctx)         // one a pod, the newest
//
// A report says which SVID and which bundle an Envoy has acknowledged, not what
// was sent to it, and by which word of the control plane it came to that bundle
// ([Report].TrustSequence). Gates of later changes (a root's rotation, a switch to strict
// mTLS) decide by reports, whether the workload is connected or not, so
// [Store.Put] returns only when the report is on the disk. One report a pod is
// kept, the newest, and which SVIDs its Envoy ever acknowledged ([Ack]): that says whose
// an SVID is that was issued to an account and to no pod. Whom its Envoy met ([Sighting])
// is kept for a time. Who may speak for a pod is decided before, by package agents.
//
// [Store.Prune] removes what pods have left that are gone and hold nothing any more.
package report
