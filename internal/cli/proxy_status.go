package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

func newProxyStatus(g *globals) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show who each proxy is and what it has: synced, stale or refused, and why",
		Long: "A type is SYNCED when the proxy has acknowledged the newest version, STALE while an\n" +
			"acknowledgement is awaited, NACKED when the proxy refused it. SVID is the serial that\n" +
			"Envoy itself acknowledged; DISCONNECTED proxies are shown from their last report.\n" +
			"DENY, CRL and CUT say how the proxy keeps out who is cut off: OBEYS when the newest state\n" +
			"is in force there, WAITING until it has said so, UNABLE where this kind of proxy can't;\n" +
			"CUT names how its connections are ended (drain: by replacing the filter chains).",
		Example: "  ensign proxy status\n  ensign proxy status shop/reviews-v1 -o yaml\n  ensign proxy status --check && echo all synced",
		Args:    between(0, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				answer, err := admin.ListProxies(ctx, &ensignv1.ListProxiesRequest{})
				if err != nil {
					return err
				}
				status := statusOf(answer)
				if len(args) == 1 {
					if status, err = status.only(args[0]); err != nil {
						return err
					}
				}
				if err := printStatus(p, status); err != nil {
					return err
				}
				if check {
					return status.verdict()
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "exit 1 unless every proxy is connected, synced and obeys what is cut off, and nothing is held back")
	return cmd
}

// only keeps the proxy of this name.
func (m meshStatus) only(name string) (meshStatus, error) {
	m.Proxies = slices.DeleteFunc(m.Proxies, func(p proxyStatus) bool { return p.Name != name })
	if len(m.Proxies) == 0 {
		return m, fmt.Errorf("no proxy %s: names are NAMESPACE/POD, see `ensign proxy status`", name)
	}
	return m, nil
}

// verdict is nil when all holds.
func (m meshStatus) verdict() error {
	var bad []string
	for _, p := range m.Proxies {
		if !p.Connected {
			bad = append(bad, p.Name+" is not connected")
		}
		for _, t := range p.Types {
			if t.State != stateSynced {
				bad = append(bad, fmt.Sprintf("%s: %s is %s", p.Name, t.Type, t.State))
			}
		}
		for _, m := range p.Mechanisms.named() {
			if m.State == stateWaiting {
				bad = append(bad, fmt.Sprintf("%s: %s is %s", p.Name, m.name, m.State))
			}
		}
	}
	for _, h := range m.Holds {
		bad = append(bad, h.Resource+" is held back")
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("not everything is synced: %s", strings.Join(bad, "; "))
}

func printStatus(p printer, status meshStatus) error {
	rows := make([]row, 0, len(status.Proxies))
	for _, proxy := range status.Proxies {
		r := row{proxy.Name, proxy.SPIFFEID, dash(proxy.EnvoyVersion)}
		for _, name := range statusTypes {
			r = append(r, proxy.state(name))
		}
		r = append(r, proxy.Mechanisms.cells()...)
		rows = append(rows, append(r, dash(proxy.Serial), dash(short(proxy.Bundle))))
	}
	header := append(append(row{"NAME", "IDENTITY", "ENVOY"}, statusTypes...), "DENY", "CRL", "CUT", "SVID", "BUNDLE")
	if err := p.print(status, header, rows); err != nil || p.format != "table" {
		return err
	}
	return printTroubles(p, status)
}

// printTroubles says below the table why something is not synced.
func printTroubles(p printer, status meshStatus) error {
	for _, proxy := range status.Proxies {
		for _, t := range proxy.Types {
			for _, r := range t.Rejections {
				fmt.Fprintf(p.out, "\n%s refused %s %s: %s\n", proxy.Name, t.Type, printable(r.Resource), printable(r.Error))
				if len(r.Origins) > 0 {
					fmt.Fprintf(p.out, "  made of: %s\n", strings.Join(r.Origins, ", "))
				}
			}
		}
		if proxy.SecretError != "" {
			fmt.Fprintf(p.out, "\n%s refused a secret: %s\n", proxy.Name, printable(proxy.SecretError))
		}
		for _, m := range proxy.Mechanisms.named() {
			if m.State != stateObeys && m.Detail != "" {
				fmt.Fprintf(p.out, "\n%s %s is %s: %s\n", proxy.Name, m.name, m.State, printable(m.Detail))
			}
		}
	}
	for _, h := range status.Holds {
		fmt.Fprintf(p.out, "\nheld back from Envoy %s since %s: %s %s\n  refused by: %s\n  because: %s\n  made of: %s\n  to send it all the same: ensign proxy release %s\n",
			printable(h.EnvoyVersion), h.Since, h.Type, printable(h.Resource), strings.Join(h.RefusedBy, ", "), printable(h.Error), strings.Join(h.Origins, ", "), h.Resource)
	}
	return nil
}

// short is enough of a hash to tell two apart by eye.
func short(hash string) string { return hash[:min(12, len(hash))] }
