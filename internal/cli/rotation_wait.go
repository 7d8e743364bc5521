package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/pflag"

	ensignv1 "github.com/ensign-mesh/ensign/internal/api/ensign/v1"
)

// wait is the flag --wait[=DURATION].
type wait struct {
	asked bool
	limit time.Duration
}

func (w *wait) register(flags *pflag.FlagSet) {
	flags.DurationVar(&w.limit, "wait", 0, "show how it goes on until it is over; with =DURATION at most this long")
	flags.Lookup("wait").NoOptDefVal = "0s"
}

func (w *wait) check(flags *pflag.FlagSet) error {
	w.asked = flags.Changed("wait")
	if w.limit < 0 {
		return usagef("--wait %s is negative", w.limit)
	}
	return nil
}

// run follows the rotation that an act answered to its end, and prints what came of it.
func (w *wait) run(ctx context.Context, admin ensignv1.AdminServiceClient, now authority, p printer, progress io.Writer) error {
	if now.Rotation == nil {
		return errors.New("ensignd names no rotation: see `ensign ca status`")
	}
	f := following{admin: admin, limit: w.limit, told: newTeller(progress, rotationOnly), last: now, came: time.Now()}
	id, back := now.Rotation.ID, now.Rotation.Reversed
	err := f.run(ctx)
	switch r := f.last.Rotation; {
	case err == nil:
		err = f.last.verdict(id, back)
	case errors.Is(err, errLate) && r != nil:
		err = r.late(w.limit)
	case ctx.Err() != nil:
		return fmt.Errorf("no longer watched; rotation %s goes on. %s", id, howTo)
	}
	if failed := printRotation(p, f.last); failed != nil {
		return failed
	}
	return err
}

// printRotation prints one line about the rotation, or the whole document.
func printRotation(p printer, a authority) error {
	r := a.Rotation
	if r == nil {
		return p.print(a, row{"ROTATION"}, nil)
	}
	ready := "-"
	if r.Gate != nil {
		ready = of(r.Gate.Ready, r.Gate.counted())
	}
	state := r.Outcome
	if r.running() && r.Reversed {
		state = "rolling back"
	}
	if r.running() && r.Paused {
		state += ", paused"
	}
	return p.print(a, row{"ROTATION", "FROM", "TO", "STEP", "STATE", "READY", "TOOK", "REASON"}, []row{{
		r.ID, r.From.label(), r.To.label(), r.Step, state, ready, dash(r.took(a.at)), dash(r.Reason),
	}})
}
