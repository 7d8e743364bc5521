package cli

import (
	"fmt"
	"strings"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// cutOffPlan is who an act would hit; its keys are stable.
type cutOffPlan struct {
	SVIDs     []plannedSVID `json:"svids"`
	Workloads []string      `json:"workloads"`
	Services  []string      `json:"services"`
	Callers   []string      `json:"callers"`
	Warnings  []string      `json:"warnings"`
}

type plannedSVID struct {
	Serial       string `json:"serial"`
	Fingerprint  string `json:"sha256"`
	SPIFFEID     string `json:"spiffe_id"`
	Pod          string `json:"pod,omitempty"`
	IssuerSerial string `json:"issuer_serial"`
	IssuedAt     string `json:"issued_at"`
	ExpiresAt    string `json:"expires_at"`
	Because      string `json:"because"`
}

func planOf(p *ensignv1.CutOffPlan) cutOffPlan {
	plan := cutOffPlan{
		SVIDs: []plannedSVID{}, Workloads: append([]string{}, p.GetWorkloads()...), Services: append([]string{}, p.GetServices()...),
		Callers: append([]string{}, p.GetCallers()...), Warnings: append([]string{}, p.GetWarnings()...),
	}
	for _, s := range p.GetSvids() {
		plan.SVIDs = append(plan.SVIDs, plannedSVID{
			Serial: s.Serial, Fingerprint: s.Fingerprint, SPIFFEID: s.SpiffeId, Pod: s.Pod, IssuerSerial: s.IssuerSerial,
			IssuedAt: stamp(s.IssuedAt.AsTime()), ExpiresAt: stamp(s.ExpiresAt.AsTime()), Because: s.Because,
		})
	}
	return plan
}

// printPlan prints the SVIDs as a table, and below it who else is concerned.
func printPlan(p printer, plan cutOffPlan) error {
	rows := make([]row, 0, len(plan.SVIDs))
	for _, s := range plan.SVIDs {
		rows = append(rows, row{s.Serial, s.SPIFFEID, dash(s.Pod), s.IssuedAt, s.ExpiresAt, s.Because})
	}
	if err := p.print(plan, row{"SERIAL", "IDENTITY", "POD", "ISSUED", "EXPIRES", "HIT BECAUSE"}, rows); err != nil || p.format != "table" {
		return err
	}
	fmt.Fprintln(p.out)
	for _, list := range []struct {
		title string
		names []string
	}{
		{"workloads", plan.Workloads}, {"services", plan.Services}, {"seen calling or called", plan.Callers},
	} {
		fmt.Fprintf(p.out, "%s (%d): %s\n", list.title, len(list.names), dash(printable(strings.Join(list.names, ", "))))
	}
	for _, warning := range plan.Warnings {
		fmt.Fprintf(p.out, "warning: %s\n", printable(warning))
	}
	return nil
}
