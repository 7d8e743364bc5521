// Package report keeps what agents say about their Envoys.
//
// A report says which SVID and which bundle an Envoy has acknowledged, not what
// was sent to it. Gates of later changes (a root's rotation, a switch to strict
// mTLS) decide by reports, whether the workload is connected or not, so
// [Store.Put] returns only when the report is on the disk. One report a pod is
// kept, the newest, and which SVIDs its Envoy ever acknowledged ([Ack]): that says whose
// an SVID is that was issued to an account and to no pod.
package report
