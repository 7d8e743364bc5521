package cli_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ensign-mesh/ensign/internal/cli"
	"github.com/ensign-mesh/ensign/internal/daemon"
	"github.com/ensign-mesh/ensign/internal/need"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ensign": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr))
		},
		"ensignd": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(daemon.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
		},
	})
}

// TestScripts runs each verb as a person would type it, against a real ensignd.
// `ready` waits for it, `proxy` is a small Envoy (proxy_test.go), `agent` a small
// agent with an Envoy that keeps out who is cut off (agent_test.go), `eventually` waits
// for what is written, `ledgerkey` learns the ledger's key (ledger_script_test.go),
// `stage` plays an ensignd in the middle of a rotation (authority_test.go).
func TestScripts(t *testing.T) {
	mesh, err := filepath.Abs(filepath.Join("testdata", "mesh"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"LISTEN", "METRICS"} {
				port, err := need.FreePort()
				if err != nil {
					return err
				}
				env.Setenv(name, need.Loopback(port))
			}
			env.Setenv("MESH", mesh)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"ready":      ready,
			"proxy":      proxy,
			"agent":      agent,
			"eventually": eventually,
			"ledgerkey":  ledgerkey,
			"stage":      stage,
		},
	})
}

// ready waits until ensignd says that it serves.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	deadline := time.Now().Add(20 * time.Second)
	url := "http://" + ts.Getenv("METRICS") + "/readyz"
	for {
		answer, err := http.Get(url)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("%s", answer.Status)
		}
		if time.Now().After(deadline) {
			ts.Fatalf("ensignd is not ready: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
