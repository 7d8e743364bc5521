package agent

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func validConfig() Config {
	return Config{
		ControlPlane: "ensignd.example:15012", TrustBundle: "b", TokenFile: "t", Pod: "shop/reviews-v1", IP: "10.0.0.7",
		RunDir: "/run/ensign", Envoy: NoEnvoy,
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"no control plane":     {func(c *Config) { c.ControlPlane = "" }, "--control-plane"},
		"no port":              {func(c *Config) { c.ControlPlane = "ensignd" }, "--control-plane"},
		"no host":              {func(c *Config) { c.ControlPlane = ":15012" }, "--control-plane"},
		"no bundle":            {func(c *Config) { c.TrustBundle = "" }, "--trust-bundle"},
		"no token":             {func(c *Config) { c.TokenFile = "" }, "--token-file"},
		"no pod":               {func(c *Config) { c.Pod = "" }, "--pod"},
		"no namespace":         {func(c *Config) { c.Pod = "reviews" }, "--pod"},
		"a pod with a tilde":   {func(c *Config) { c.Pod = "shop/a~b" }, "--pod"},
		"a third part":         {func(c *Config) { c.Pod = "shop/a/b" }, "--pod"},
		"a dotted namespace":   {func(c *Config) { c.Pod = "a.b/c" }, "--pod"},
		"no IP":                {func(c *Config) { c.IP = "localhost" }, "--ip"},
		"a bad trust domain":   {func(c *Config) { c.TrustDomain = "Not A Domain" }, "--trust-domain"},
		"no folder":            {func(c *Config) { c.RunDir = "" }, "--run-dir"},
		"a long folder":        {func(c *Config) { c.RunDir = "/" + strings.Repeat("x", 100) }, "--run-dir"},
		"no such Envoy":        {func(c *Config) { c.Envoy = "/no/such/envoy" }, "--envoy"},
		"an open admin port":   {func(c *Config) { c.EnvoyAdmin = "0.0.0.0:15000" }, "--envoy-admin"},
		"a named admin port":   {func(c *Config) { c.EnvoyAdmin = "localhost:15000" }, "--envoy-admin"},
		"a negative drain":     {func(c *Config) { c.Drain = -time.Second }, "--drain"},
		"a life of no second":  {func(c *Config) { c.TTL = time.Millisecond }, "--svid-ttl"},
		"a life that ended":    {func(c *Config) { c.TTL = -time.Hour }, "--svid-ttl"},
		"a pod with a newline": {func(c *Config) { c.Pod = "shop/a\n" }, "--pod"},
	} {
		config := validConfig()
		c.change(&config)
		if _, err := config.check(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want ErrConfig that names %s", name, err, c.says)
		}
	}
}

// The longest folder that is taken is one that sockets can be made in.
func TestTheLongestRunFolderWorks(t *testing.T) {
	config := newControlPlane(t).config(t)
	config.RunDir += strings.Repeat("x", maxRunDir-len(config.RunDir))
	startAgent(t, config)
	eventually(t, "the agent is ready", func() bool { return ready(config) })
}

func TestDefaults(t *testing.T) {
	s, err := validConfig().check()
	if err != nil {
		t.Fatal(err)
	}
	if s.ServerName != "ensignd.example" || s.TTL != 24*time.Hour || s.EnvoyAdmin != "127.0.0.1:15000" ||
		s.Metrics != ":15020" || s.Health != ":15021" || s.trustDomain.Name() != "cluster.local" {
		t.Errorf("%+v", s)
	}
	for address, want := range map[string]string{"10.0.0.1:15012": defaultServerName, "[::1]:15012": defaultServerName, "localhost:15012": "localhost"} {
		config := validConfig()
		config.ControlPlane = address
		if s, err := config.check(); err != nil || s.ServerName != want {
			t.Errorf("%s: %s, %v; want %s", address, s.ServerName, err, want)
		}
	}
}
