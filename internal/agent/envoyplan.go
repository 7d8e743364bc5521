package agent

import (
	"os"

	"golang.org/x/sys/unix"
)

// envoyPlan is what there is to run, and what runs.
type envoyPlan struct {
	command command
	// is tells this Envoy from one with another binary, command line or bootstrap.
	is string
	// left is an Envoy of an earlier agent, nil if there is none; adopted: it is the
	// very one that we would start.
	left    *process
	adopted bool
}

// planEnvoy writes the bootstrap and looks for an Envoy that runs. The table learns
// of it before it learns who is cut off: such an Envoy has connections that nobody
// has told of yet.
func (a *agent) planEnvoy() (envoyPlan, error) {
	var plan envoyPlan
	bootstrap, err := a.bootstrap()
	if err == nil {
		err = writeFile(a.path("envoy.yaml"), bootstrap)
	}
	if err != nil || a.envoy == "" {
		return plan, err
	}
	plan.command = newCommand(a.envoy, a.path("envoy.yaml"), drainTime(mayCut()), a.EnvoyArgs)
	if plan.is, err = plan.command.fingerprint(bootstrap); err != nil {
		return plan, err
	}
	is := ""
	if plan.left, is, err = orphan(a.path("envoy.pid")); err != nil {
		return plan, err
	}
	if plan.adopted = plan.left != nil && is == plan.is; plan.adopted {
		a.table.SetEnvoy(plan.left.pid, true)
	}
	return plan, nil
}

// drainTime is Envoy's --drain-time-s: how long the connections of a filter chain
// that was replaced may go on. Where that is the only way to end those of a peer that
// is cut off, it is short.
func drainTime(mayCut bool) string {
	if mayCut {
		return "45"
	}
	return "5"
}

// mayCut says whether this process will be able to end single connections of the
// Envoy that it starts. It is asked before there is one; what is true then, package
// connections finds out.
func mayCut() bool {
	return mayCopy() || mayDestroy()
}

// mayCopy tries pidfd_getfd on ourselves: where a container forbids it, it fails.
func mayCopy() bool {
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return false
	}
	defer unix.Close(self)
	copied, err := unix.PidfdGetfd(self, self, 0)
	return err == nil && unix.Close(copied) == nil
}

// mayDestroy looks for CAP_NET_ADMIN.
func mayDestroy() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
