package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func newProxyConfig(g *globals) *cobra.Command {
	var sent, diff bool
	cmd := &cobra.Command{
		Use:   "config NAME [" + strings.Join(sections, "|") + "]",
		Short: "Show a proxy's configuration: Envoy's own dump, what was sent, or the difference",
		Long: "Without a flag, Envoy's own config_dump, read through its agent. --sent shows what ensignd\n" +
			"last sent on the proxy's stream. --diff compares both, and exits 1 when they differ.",
		Example: "  ensign proxy config shop/reviews-v1 clusters\n  ensign proxy config shop/reviews-v1 rbac -o json\n  ensign proxy config shop/reviews-v1 --diff",
		Args:    between(1, "NAME", "SECTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			section := ""
			if len(args) == 2 {
				section = args[1]
				if !slices.Contains(sections, section) {
					return usagef("no section %q; use one of %s", section, strings.Join(sections, ", "))
				}
			}
			if sent && diff {
				return usagef("--sent and --diff exclude one another")
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				if diff {
					return diffConfig(ctx, admin, p, args[0], section)
				}
				source := ensignv1.GetProxyConfigRequest_ENVOY
				if sent {
					source = ensignv1.GetProxyConfigRequest_SENT
				}
				config, err := fetchConfig(ctx, admin, args[0], source)
				if err != nil {
					return err
				}
				return printConfig(p, config.section(section))
			})
		},
	}
	cmd.Flags().BoolVar(&sent, "sent", false, "what ensignd sent, instead of what Envoy shows")
	cmd.Flags().BoolVar(&diff, "diff", false, "the difference between what was sent and what Envoy shows")
	return cmd
}

func fetchConfig(ctx context.Context, admin ensignv1.AdminServiceClient, name string, source ensignv1.GetProxyConfigRequest_Source) (proxyConfig, error) {
	stream, err := admin.GetProxyConfig(ctx, &ensignv1.GetProxyConfigRequest{Name: name, Source: source})
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		text.Write(part.Chunk)
	}
	return parseDump(text.Bytes())
}

func printConfig(p printer, config proxyConfig) error {
	var rows []row
	for _, section := range sections {
		for _, name := range config.names(section) {
			rows = append(rows, row{section, name, describe(section, config[section][name])})
		}
	}
	return p.print(config, row{"SECTION", "NAME", "WHAT"}, rows)
}

type difference struct {
	Section string `json:"section"`
	Name    string `json:"name"`
	State   string `json:"state"`
	Sent    any    `json:"sent,omitempty"`
	Envoy   any    `json:"envoy,omitempty"`
}

func diffConfig(ctx context.Context, admin ensignv1.AdminServiceClient, p printer, name, section string) error {
	sent, err := fetchConfig(ctx, admin, name, ensignv1.GetProxyConfigRequest_SENT)
	if err != nil {
		return err
	}
	envoy, err := fetchConfig(ctx, admin, name, ensignv1.GetProxyConfigRequest_ENVOY)
	if err != nil {
		return err
	}
	found := differences(sent.section(section), envoy.withoutOwnEndpoints().section(section))
	rows := make([]row, 0, len(found))
	for _, d := range found {
		rows = append(rows, row{d.Section, d.Name, d.State})
	}
	if err := p.print(found, row{"SECTION", "NAME", "STATE"}, rows); err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%s has %d resources that are not as they were sent", name, len(found))
	}
	return nil
}
