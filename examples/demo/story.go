package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ensign-mesh/ensign/test/lab"
)

// settings are the command line.
type settings struct {
	bin, envoy, manifests, out string
	// vault is its binary, deploy the folder that prepares one.
	vault, deploy string
	story         story
	keep          bool
}

// chapter is one step of the story. tell returns why the step holds, or an error
// that says why it does not.
type chapter struct {
	title string
	tell  func(context.Context, *scene) (string, error)
}

// story is what one run tells.
type story struct {
	pods     func() []lab.PodSpec
	manifest string // what its pods need beside the bookshop's YAML
	chapters []chapter
	// vault: there is one beside ensignd.
	vault bool
}

// stories by the name that -story takes. Chapters are in the order they are told;
// each leaves the mesh as it found it.
var stories = map[string]story{
	"mesh":   {pods: pods, manifest: impostorAccount, chapters: meshChapters},
	"revoke": {pods: revokePods, manifest: revokeAccounts, chapters: revokeChapters},
	"rotate": {pods: lab.Bookshop, manifest: freshConnections, chapters: rotateChapters, vault: true},
}

var meshChapters = []chapter{
	{"Every workload has an identity of its own", identities},
	{"Every Envoy has what it was sent", synced},
	{"One request, proven at every hop", journey},
	{"Plaintext from outside the mesh: refused in STRICT, let in where PERMISSIVE", plaintext},
	{"A pod that took another's address is refused by its clients", impostor},
	{"A path that nobody may ask for", deniedPath},
	{"A deny bites a connection that is already open", liveDeny},
	{"One request in ten goes to the new version", split},
	{"A policy edited on disk, until the last Envoy has it", editedPolicy},
	{"Certificates are renewed under load", renewal},
	{"The ledger of every certificate is verified; a rolled-back and a forged one are caught", audit},
}

// tell brings the mesh up, tells the story and takes the mesh down.
func tell(ctx context.Context, s settings, out io.Writer) (err error) {
	start := time.Now()
	cfg := lab.Config{Bin: s.bin, Envoy: s.envoy, Manifests: s.manifests}
	if s.story.vault {
		cfg.Vault = lab.VaultConfig{Binary: s.vault, Deploy: s.deploy}
	}
	l, err := lab.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	v := newVoice(out)
	fmt.Fprintf(out, "ensignd is up:\n  $ ip netns exec %s %s\n  $ export PATH=%s/bin:$PATH ENSIGN_DATA=%s\n",
		l.Control.Net.Name, l.Control.Line(), l.Dir(), l.Control.Data)
	if err := l.Apply("story.yaml", s.story.manifest); err != nil {
		return err
	}
	if err := l.AddPods(ctx, s.story.pods()...); err != nil {
		return errors.Join(err, saveLogs(l, s.out))
	}
	fmt.Fprintf(out, "%d pods with sidecars and one machine outside, capture rules proven, ready after %s\n",
		len(l.Sidecars()), time.Since(start).Round(100*time.Millisecond))

	r := &report{Started: start.UTC()}
	for i, c := range s.story.chapters {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("interrupted before step %d; everything is removed", i+1)
		}
		r.Steps = append(r.Steps, v.chapter(ctx, l, i+1, c))
	}
	if ctx.Err() != nil {
		return errors.New("interrupted; everything is removed")
	}
	if err := r.finish(ctx, l, s.out); err != nil {
		return err
	}
	v.summary(r, filepath.Join(s.out, "report.json"))
	if failed := r.failed(); failed > 0 {
		return errors.Join(fmt.Errorf("%d of %d steps do not hold; logs are in %s", failed, len(r.Steps), filepath.Join(s.out, "logs")), saveLogs(l, s.out))
	}
	if s.keep {
		l.Net.Keep()
		v.kept(l)
	}
	return nil
}

const impostorAccount = `apiVersion: v1
kind: ServiceAccount
metadata: {name: impostor, namespace: stock}
`

// pods are the bookshop's, some of them with certificates so short that a
// renewal happens while the story is told, and an impostor.
func pods() []lab.PodSpec {
	specs := lab.Bookshop()
	for i := range specs {
		if specs[i].Name == "storefront" || specs[i].Name == "catalog" {
			specs[i].Agent = append(specs[i].Agent, "--svid-ttl", "30s")
		}
	}
	return append(specs, lab.PodSpec{Name: "impostor", Namespace: "stock", Account: "impostor", Sidecar: true, Port: 9080,
		App: []string{"bookshop", "serve", "--service", "impostor", "--listen", ":9080"}})
}

// saveLogs copies the logs out of the lab's folder, which goes.
func saveLogs(l *lab.Lab, out string) error {
	target := filepath.Join(out, "logs")
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	return os.CopyFS(target, os.DirFS(l.Net.Logs()))
}
