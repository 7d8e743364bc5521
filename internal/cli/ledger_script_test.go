package cli_test

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"
)

// eventually waits until a file that somebody else writes matches:
//
//	eventually FILE REGEXP
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: eventually FILE REGEXP")
	}
	want, err := regexp.Compile(`(?m)` + args[1])
	ts.Check(err)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && want.Match(text) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not match %q:\n%s", args[0], args[1], text)
		}
	}
}

// ledgerkey takes the verifier key out of the JSON on stdout, as $KEY, and makes
// another key of the same name, as $OTHERKEY.
func ledgerkey(ts *testscript.TestScript, neg bool, args []string) {
	var answer struct {
		Key string `json:"verifier_key"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &answer))
	known, err := note.NewVerifier(answer.Key)
	ts.Check(err)
	_, other, err := note.GenerateKey(rand.Reader, known.Name())
	ts.Check(err)
	ts.Setenv("KEY", answer.Key)
	ts.Setenv("OTHERKEY", other)
}
