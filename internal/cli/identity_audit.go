package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// findingKinds are what the control plane may find, the gravest first.
var findingKinds = []string{"unlogged", "revoked-in-use", "fork", "orphan", "surge", "expiring", "weak", "unused"}

type findingRow struct {
	Kind     string `json:"kind"`
	SPIFFEID string `json:"spiffe_id"`
	Serial   string `json:"serial,omitempty"`
	Where    string `json:"where,omitempty"`
	Detail   string `json:"detail"`
	At       string `json:"at,omitempty"`
}

type fleetAudit struct {
	Findings   []findingRow `json:"findings"`
	Identities uint32       `json:"identities"`
	LiveSVIDs  uint32       `json:"live_svids"`
	Served     uint32       `json:"served"`
	Sightings  uint32       `json:"sightings"`
}

func newIdentityAudit(g *globals) *cobra.Command {
	var ask ensignv1.AuditIdentitiesRequest
	var failOn []string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Hold what is issued, what proxies serve and whom they met against the record",
		Long: "Findings, the gravest first:\n" +
			"  unlogged        a certificate that is served or was met, and that the ledger does not hold\n" +
			"  revoked-in-use  a certificate that is cut off and in use all the same\n" +
			"  fork            an agent was shown two histories of the ledger\n" +
			"  orphan          a live SVID of an account or pod that is gone\n" +
			"  surge           an identity that asks for more certificates than it may have\n" +
			"  expiring        a workload whose newest SVID was not renewed in time\n" +
			"  weak            a short RSA key, too long a life, a proof without a pod or an old one\n" +
			"  unused          a live SVID that no proxy serves and nobody met\n" +
			"Peers are sampled: every certificate that is new to an agent, and again at most every ten minutes.",
		Example: "  ensign identity audit\n  ensign identity audit --namespace shop -o json\n  ensign identity audit --fail-on unlogged,revoked-in-use,orphan   # in CI",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(cmd.OutOrStdout(), g.output)
			if err != nil {
				return err
			}
			if err := checkFailOn(failOn); err != nil {
				return err
			}
			return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
				answer, err := admin.AuditIdentities(ctx, &ask)
				if err != nil {
					return err
				}
				if err := printFindings(p, answer); err != nil {
					return err
				}
				return failing(answer.Findings, failOn)
			})
		},
	}
	cmd.Flags().StringVar(&ask.Namespace, "namespace", "", "only what concerns this namespace")
	cmd.Flags().StringSliceVar(&failOn, "fail-on", nil, "exit with 1 if there is a finding of these kinds, or \"any\"")
	return cmd
}

func checkFailOn(kinds []string) error {
	for _, kind := range kinds {
		if kind != "any" && !slices.Contains(findingKinds, kind) {
			return usagef("--fail-on %s is not known; use any, or some of %s", kind, strings.Join(findingKinds, ", "))
		}
	}
	return nil
}

// failing is an error that counts the findings which must not be.
func failing(findings []*ensignv1.Finding, kinds []string) error {
	n := 0
	for _, f := range findings {
		if slices.Contains(kinds, f.Kind) || slices.Contains(kinds, "any") {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d findings of the kinds that --fail-on names (%s)", n, strings.Join(kinds, ", "))
}

func printFindings(p printer, answer *ensignv1.AuditIdentitiesResponse) error {
	audit := fleetAudit{
		Findings: []findingRow{}, Identities: answer.Identities, LiveSVIDs: answer.LiveSvids,
		Served: answer.Served, Sightings: answer.Sightings,
	}
	var rows []row
	for _, f := range answer.Findings {
		value := findingRow{Kind: f.Kind, SPIFFEID: f.SpiffeId, Serial: f.Serial, Where: f.Where, Detail: f.Detail, At: stamp(f.At.AsTime())}
		audit.Findings = append(audit.Findings, value)
		rows = append(rows, row{value.Kind, dash(value.SPIFFEID), dash(value.Where), dash(value.Serial), dash(value.At), value.Detail})
	}
	if p.format == "table" {
		fmt.Fprintf(p.out, "%d identities, %d live SVIDs, %d of them served; %d peers met: %d findings\n",
			audit.Identities, audit.LiveSVIDs, audit.Served, audit.Sightings, len(audit.Findings))
		if len(rows) == 0 {
			return nil
		}
	}
	return p.print(audit, row{"FINDING", "SPIFFE ID", "WHERE", "SERIAL", "AT", "DETAIL"}, rows)
}
