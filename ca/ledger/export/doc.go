// Package export writes a ledger into one file: for an auditor, and as its backup.
//
//	w, err := export.NewWriter(file, export.Header{Origin: origin, VerifierKey: key})
//	for index, data := range entries {
//		err = w.Add(index, data)
//	}
//	err = w.Finish(note)
//
// The file is lines of JSON: a header, then the exact bytes of each entry as they
// were hashed, in order, then the signed checkpoint that covers them:
//
//	{"format":"ensign-ledger/1","origin":"ensign/cluster.local/ledger","verifier_key":"…"}
//	{"kind":"root",…}
//	{"kind":"svid",…}
//	{"checkpoint":"ensign/cluster.local/ledger\n2\n…"}
//
// Between entries there may be lines {"so_far":"…"} with the checkpoint of those
// above: they tell an auditor between which entries a change lies, and nothing else.
// A line has at most 64 KiB. A file without its last line was cut short.
//
// It only writes. Package audit reads such files, on its own terms.
package export
