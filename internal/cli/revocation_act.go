package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// cutOff is one act as it was typed: what `revoke`, `quarantine` and `release` share.
type cutOff struct {
	request *ensignv1.CutOffRequest
	// wait is how long to wait until everybody obeys; 0: not at all.
	wait time.Duration
}

func (c *cutOff) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.request.Reason, "reason", "", "why, for the record")
}

func (c *cutOff) registerPlanAndWait(flags *pflag.FlagSet) {
	flags.BoolVar(&c.request.Plan, "plan", false, "only say who would be hit")
	flags.DurationVar(&c.wait, "wait", 0, "wait until everybody obeys, at most this long")
	flags.Lookup("wait").NoOptDefVal = "30s"
}

// run asks for the act, waits if that was asked for, and prints what came of it.
func (c *cutOff) run(cmd *cobra.Command, g *globals) error {
	p, err := newPrinter(cmd.OutOrStdout(), g.output)
	if err != nil {
		return err
	}
	if c.request.Plan && c.wait != 0 {
		return usagef("%s takes --plan or --wait, not both: a plan changes nothing; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
	}
	if c.wait < 0 {
		return usagef("--wait %s is negative", c.wait)
	}
	return g.with(cmd.Context(), func(ctx context.Context, admin ensignv1.AdminServiceClient) error {
		answer, err := admin.CutOff(ctx, c.request)
		if err != nil {
			return err
		}
		if c.request.Plan {
			return printPlan(p, planOf(answer.Plan))
		}
		done := cutOffDone{Act: actOf(answer.Act), Revision: answer.Revision}
		warn := func(text string) { fmt.Fprintf(cmd.ErrOrStderr(), "ensign: warning: %s\n", text) }
		if done.Act.LiveSVID == 0 && done.Act.Verb != "release" {
			warn("no live SVID is cut off by this that was not before: is " + printable(done.Act.Value) + " what you meant? see `ensign identity list`")
		}
		if c.wait == 0 {
			return printDone(p, done)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s %s:%s is in the ledger as entry %d; waiting until everybody obeys\n",
			done.Act.Verb, done.Act.Kind, printable(done.Act.Value), done.Act.Entry)
		waiting := waiting{admin: admin, revision: answer.Revision, limit: c.wait, progress: cmd.ErrOrStderr()}
		last, verdict := waiting.run(ctx)
		done.Obedience = &last
		for _, text := range last.caveats() {
			warn(text)
		}
		if err := printDone(p, done); err != nil {
			return err
		}
		return verdict
	})
}

// cutOffDone is what an act answers; its keys are stable.
type cutOffDone struct {
	Act      cutOffAct `json:"act"`
	Revision uint64    `json:"revision"`
	// Obedience is what --wait last saw.
	Obedience *obedience `json:"obedience,omitempty"`
}

// cutOffAct is one act of the record.
type cutOffAct struct {
	Entry    uint64 `json:"ledger_entry"`
	Verb     string `json:"verb"`
	Kind     string `json:"kind"`
	Value    string `json:"value"`
	Reason   string `json:"reason,omitempty"`
	Actor    string `json:"actor"`
	Time     string `json:"time"`
	LiveSVID uint32 `json:"live_svids"`
}

func actOf(a *ensignv1.CutOffAct) cutOffAct {
	return cutOffAct{
		Entry: a.GetIndex(), Verb: a.GetVerb(), Kind: a.GetKind(), Value: a.GetValue(), Reason: a.GetReason(),
		Actor: a.GetActor(), Time: stamp(a.GetTime().AsTime()), LiveSVID: a.GetLiveSvids(),
	}
}

// row is the act in a table, under actHeader.
func (a cutOffAct) row() row {
	return row{strconv.FormatUint(a.Entry, 10), a.Time, a.Verb, a.Kind + ":" + a.Value, strconv.Itoa(int(a.LiveSVID)), a.Actor, dash(a.Reason)}
}

var actHeader = row{"ENTRY", "TIME", "VERB", "TARGET", "LIVE SVIDS", "ACTOR", "REASON"}

func printDone(p printer, done cutOffDone) error {
	header, line := append(row{}, actHeader...), done.Act.row()
	if o := done.Obedience; o != nil {
		header, line = append(header, "DENY", "CRL", "CUT", "OPEN"), append(line,
			of(o.DenyAcked, o.Proxies), of(o.CRLAcked, o.Proxies), of(o.CutAcked, o.Proxies), strconv.Itoa(int(o.Open)))
	}
	return p.print(done, header, []row{line})
}

func of(n, all uint32) string { return fmt.Sprintf("%d/%d", n, all) }
