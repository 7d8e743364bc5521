package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ensign-mesh/ensign/internal/need"
	"github.com/ensign-mesh/ensign/test/lab/netns"
)

func main() {
	var s settings
	var clean bool
	var name string
	flag.StringVar(&name, "story", "mesh", "what to tell: mesh (the whole of it), revoke (a stolen key) or rotate (another root, in Vault)")
	flag.BoolVar(&clean, "clean", false, "remove what earlier runs left, and do nothing else")
	flag.BoolVar(&s.keep, "keep", os.Getenv("KEEP") == "1", "leave the mesh up at the end (default: KEEP=1)")
	flag.StringVar(&s.bin, "bin", "bin", "folder with the programs")
	flag.StringVar(&s.manifests, "manifests", "examples/bookshop/manifests", "folder with the bookshop's YAML")
	flag.StringVar(&s.out, "out", "demo", "folder for report.json, and for the logs when a step does not hold")
	flag.StringVar(&s.deploy, "vault-deploy", "deploy/vault", "folder with Vault's policies and setup.sh")
	flag.Parse()
	var known bool
	if s.story, known = stories[name]; !known {
		fmt.Fprintf(os.Stderr, "demo: no story %q; there are mesh, revoke and rotate\n", name)
		os.Exit(2)
	}
	s.envoy, s.vault = need.EnvoyPath(), need.VaultPath()
	if s.story.vault && s.vault == "" && !clean {
		fmt.Fprintln(os.Stderr, "demo: no Vault: run `make vault` (ten minutes, once), or set ENSIGN_VAULT")
		os.Exit(1)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var err error
	if clean {
		if err = netns.Clean(ctx); err == nil {
			fmt.Println("nothing of earlier demos is left")
		}
	} else {
		err = tell(ctx, s, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}
