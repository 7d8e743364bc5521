package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// outliveLimit is how long an agent may take to end behind its Envoy.
const outliveLimit = 20 * time.Second

// Restart kills ensignd without a word, and starts it again.
func (c *Control) Restart(ctx context.Context) error {
	if err := c.Process().Kill(); err != nil {
		return fmt.Errorf("killing %s: %w", c.name, err)
	}
	return c.Start(ctx)
}

// KillAgent kills the pod's agent without a word; its Envoy goes on.
func (p *Pod) KillAgent() error {
	agent := p.Agent()
	if err := agent.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing the agent of %s: %w", p.Name, err)
	}
	<-agent.Done()
	return nil
}

// EnvoyPID is the process of the pod's Envoy.
func (p *Pod) EnvoyPID() (int, error) {
	text, err := os.ReadFile(filepath.Join(p.Dir, "run", "envoy.pid"))
	if err != nil {
		return 0, fmt.Errorf("finding the Envoy of %s: %w", p.Name, err)
	}
	var record struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(text, &record); err != nil || record.PID < 2 {
		return 0, fmt.Errorf("finding the Envoy of %s: its file says %q (%v)", p.Name, text, err)
	}
	return record.PID, nil
}

// KillEnvoy kills the pod's Envoy without a word; its agent ends with it.
func (p *Pod) KillEnvoy() error {
	pid, err := p.EnvoyPID()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("killing the Envoy of %s: %w", p.Name, err)
	}
	agent := p.Agent()
	select {
	case <-agent.Done():
		return nil
	case <-time.After(outliveLimit):
		return fmt.Errorf("the agent of %s outlives its Envoy", p.Name)
	}
}
