package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func someCutOff(revision uint64) *ensignv1.CutOff {
	return &ensignv1.CutOff{
		Revision: revision, Identities: []string{"spiffe://cluster.local/ns/shop/sa/bad"}, CrlRevision: revision + 100, SilentPorts: []uint32{3306, 70000, 0},
		Certificates: []*ensignv1.CutCertificate{{
			Fingerprint: "feed", Serial: "1a", SpiffeId: testID, IssuerSubject: "CN=issuer 1",
			NotBefore: timestamppb.New(time.Unix(1000, 0)), NotAfter: timestamppb.New(time.Unix(2000, 0)),
		}},
		Issuers: []*ensignv1.CutIssuer{{Serial: "2b", Subject: "CN=issuer 2"}},
	}
}

func marked(body []byte) []byte { return append([]byte(markLine(cutOffMark, body)), body...) }

func TestACutOffIsKept(t *testing.T) {
	file := cutOffFile(filepath.Join(t.TempDir(), "cutoff"))
	if got, err := file.load(); got != nil || err != nil {
		t.Errorf("before the first: %v, %v", got, err)
	}
	for revision := range uint64(3) {
		if err := file.store(someCutOff(revision)); err != nil {
			t.Fatal(err)
		}
		if got, err := file.load(); err != nil || !proto.Equal(got, someCutOff(revision)) {
			t.Errorf("%v, %v", got, err)
		}
	}
	if info, err := os.Stat(string(file)); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestASpoiltCutOffFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cutoff")
	if err := cutOffFile(path).store(someCutOff(7)); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	for name, bad := range map[string]struct {
		content []byte
		why     string
	}{
		"empty":              {nil, "not whole"},
		"cut short":          {good[:len(good)-3], "not whole"},
		"a bit flipped":      {flipped, "not whole"},
		"another format":     {bytes.Replace(good, []byte("/1 "), []byte("/2 "), 1), "not whole"},
		"no message":         {marked([]byte("\xff\xff\xff")), "unexpected EOF"},
		"a bomb of entries":  {marked(bytes.Repeat([]byte{0x12, 0x00}, maxCutOffFields+1)), "more than 50000 things"},
		"text that is none":  {marked([]byte{0x1a, 0x01, 0xff}), "UTF-8"},
		"larger than a sane": {marked(make([]byte, maxCutOff+256)), "larger than"},
	} {
		write(t, path, string(bad.content))
		if got, err := cutOffFile(path).load(); err == nil || !strings.Contains(err.Error(), bad.why) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v; want an error with the path and %q", name, got.GetRevision(), err, bad.why)
		}
	}
}

// FuzzCutOffFile: a file is refused, or it is a CutOff within the limits that is
// kept again as it is.
func FuzzCutOffFile(f *testing.F) {
	body, err := proto.Marshal(someCutOff(7))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(marked(body), false)
	f.Add(body, true)
	f.Add([]byte{0x12, 0x00, 0x2a, 0x01, 0x30}, true)
	f.Fuzz(func(t *testing.T, content []byte, mark bool) {
		if !mark {
			var err error
			if content, err = unmark(cutOffMark, content); err != nil {
				return
			}
		}
		cutOff, err := parseCutOff(content)
		if err != nil {
			return
		}
		if len(cutOff.GetCertificates())+len(cutOff.GetCrls())+len(cutOff.GetIdentities())+len(cutOff.GetIssuers()) > maxCutOffFields {
			t.Error("too much was taken")
		}
		orders(cutOff)
		again, err := proto.Marshal(cutOff)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := parseCutOff(again); err != nil || !proto.Equal(second, cutOff) {
			t.Errorf("%v, %v", second, err)
		}
	})
}
