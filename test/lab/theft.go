package lab

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// StealAddress lets one pod answer for another's address, as seen by a third:
// what a thief of addresses in the same network could do. It answers the
// commands that did it and a function that puts everything back.
func (l *Lab) StealAddress(ctx context.Context, thief, victim, fooled *Pod) (done []Result, restore func() error, err error) {
	mac, err := thief.linkAddress(ctx)
	if err != nil {
		return nil, nil, err
	}
	address := victim.Net.IP.String()
	// Only the fooled pod is to be fooled: the thief neither answers nor asks the
	// network under the stolen address, which would cut the victim off from all.
	if err := thief.hush(ctx); err != nil {
		return nil, nil, err
	}
	restore = func() error {
		// What was done is undone even when the caller was interrupted.
		ctx := context.WithoutCancel(ctx)
		return errors.Join(
			l.root(ctx, nil, "ip", "-n", fooled.Net.Name, "neigh", "del", address, "dev", "eth0"),
			l.root(ctx, nil, "ip", "-n", thief.Net.Name, "addr", "del", address+"/32", "dev", "eth0"))
	}
	err = errors.Join(
		l.root(ctx, &done, "ip", "-n", thief.Net.Name, "addr", "add", address+"/32", "dev", "eth0", "scope", "host"),
		l.root(ctx, &done, "ip", "-n", fooled.Net.Name, "neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud", "permanent"))
	if err != nil {
		return done, nil, errors.Join(err, restore())
	}
	return done, restore, nil
}

// hush keeps addresses of scope host out of ARP (arp_ignore and arp_announce in
// the kernel's ip-sysctl).
func (p *Pod) hush(ctx context.Context) error {
	script := "cd /proc/sys/net/ipv4/conf/eth0 && echo 3 >arp_ignore && echo 2 >arp_announce"
	argv := p.Net.Command(0, "sh", "-c", script)
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("keeping %s quiet: %w: %s", p.Name, err, out)
	}
	return nil
}

func (p *Pod) linkAddress(ctx context.Context) (string, error) {
	argv := p.Net.Command(0, "cat", "/sys/class/net/eth0/address")
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	if err != nil {
		return "", fmt.Errorf("reading the link address of %s: %w", p.Name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// root runs a command of the node itself.
func (l *Lab) root(ctx context.Context, done *[]Result, argv ...string) error {
	r := l.run(ctx, argv...)
	if done != nil {
		*done = append(*done, r)
	}
	if r.Code != 0 {
		return fmt.Errorf("%s: %s", r.Line, r.Output)
	}
	return nil
}
