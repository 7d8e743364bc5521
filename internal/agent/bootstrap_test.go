package agent

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ensign-mesh/ensign/internal/need"
)

var update = flag.Bool("update", false, "rewrite testdata/out and remove what is stale there")

// bootstraps are the configurations whose bootstrap is kept in testdata/out.
var bootstraps = map[string]Config{
	"plain.yaml": {Pod: "shop/reviews-v1-abc", IP: "10.0.0.7"},
	"ipv6-labels-admin.yaml": {
		Pod: "shop/reviews-v1-abc", IP: "2001:db8::7", EnvoyAdmin: "[::1]:16000",
		Labels: map[string]string{"version": "v1", "app": "reviews"},
	},
}

// complete fills in what a bootstrap does not show.
func complete(t *testing.T, config Config) settings {
	t.Helper()
	config.ControlPlane, config.TrustBundle, config.TokenFile = "127.0.0.1:15012", "bundle.pem", "token"
	config.Envoy, config.RunDir, config.Logger = NoEnvoy, "/run/ensign", testLogger(t)
	s, err := config.check()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBootstrapIsGolden(t *testing.T) {
	for name, config := range bootstraps {
		s := complete(t, config)
		got, err := s.bootstrap()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "out", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: differs (%v); run go test ./internal/agent -update and look at the change\n%s", name, err, got)
		}
	}
	kept, err := filepath.Glob(filepath.Join("testdata", "out", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range kept {
		if _, used := bootstraps[filepath.Base(path)]; used {
			continue
		}
		if !*update {
			t.Errorf("%s belongs to no test", path)
		} else if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func TestEnvoyTakesTheBootstrap(t *testing.T) {
	envoy := need.Envoy(t)
	for name := range bootstraps {
		check := exec.Command(envoy, "--mode", "validate", "-c", filepath.Join("testdata", "out", name))
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	write(t, broken, `{"node": {"identifier": "x"}}`)
	if exec.Command(envoy, "--mode", "validate", "-c", broken).Run() == nil {
		t.Error("Envoy takes anything: this test says nothing")
	}
}

func TestTheBootstrapIsPrivate(t *testing.T) {
	config := newControlPlane(t).config(t)
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
	for _, name := range []string{"envoy.yaml", "sds.sock", "xds.sock", "log.sock"} {
		var info os.FileInfo
		// The bootstrap may come a moment after the first SVID.
		eventually(t, name+" is there", func() bool {
			found, err := os.Stat(filepath.Join(config.RunDir, name))
			info = found
			return err == nil
		})
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v; want 0600", name, info.Mode())
		}
	}
}
