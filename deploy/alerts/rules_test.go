package alerts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/ensign-mesh/ensign/internal/need"
)

const rulesFile = "ensign.rules.yaml"

// rule is one alert of the file.
type rule struct {
	Alert       string
	Expr        string
	Annotations map[string]string
	Labels      map[string]string
}

func rules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), need.Promtool(t), args...).CombinedOutput()
	return string(out), err
}

func TestPromtoolTakesTheRules(t *testing.T) {
	if out, err := promtool(t, "check", "rules", rulesFile); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// day is a day in seconds, as promtool's clock counts: it begins at 0.
const day = 86400

// healthy is what a mesh shows that lacks nothing, a sample a minute for some hours.
// Values are in promtool's short form: 1x310 stands for 310 minutes.
var healthy = map[string]string{
	`ensign_root_expiry_timestamp_seconds{fingerprint="ab12",signing="true"}`:  fmt.Sprint(3650*day) + "x310",
	`ensign_root_expiry_timestamp_seconds{fingerprint="cd34",signing="false"}`: fmt.Sprint(400*day) + "x310",
	`ensign_issuer_replace_timestamp_seconds`:                                  fmt.Sprint(2*day) + "x310",
	`ensign_issuer_expiry_timestamp_seconds`:                                   fmt.Sprint(7*day) + "x310",
	`ensign_crl_next_update_timestamp_seconds`:                                 "0x310",
	`ensign_crl_problems`:                                                      "0x310",
	`ensign_bundle_endpoint_certificate_expiry_timestamp_seconds`:              fmt.Sprint(day) + "x310",
	`ensign_rotation_step_since_timestamp_seconds`:                             "0x310",
	`ensign_rotation_paused`:                                                   "0x310",
	`ensign_rotation_problem`:                                                  "0x310",
	`ensign_rotation_gate_instances{state="laggard"}`:                          "0x310",
	`ensign_rotation_gate_instances{state="unverifiable"}`:                     "0x310",
	`ensign_rotation_gate_instances{state="ready"}`:                            "20x310",
	`ensign_rotation_ended_total{outcome="rolled-back"}`:                       "0x310",
	`ensign_rotation_ended_total{outcome="completed"}`:                         "0+1x310",
	`ensign_upstream_token_expiry_timestamp_seconds`:                           "1800+60x310",
	`ensign_root_unwell`:                                                       "0x310",
	`ensign_ledger_writable`:                                                   "1x310",
	`ensign_ledger_commit_failures_total`:                                      "0x310",
	`ensign_agent_ledger_forked`:                                               "0x310",
	`ensign_agent_svid_attempts_total{result="ok"}`:                            "0+1x310",
	`ensign_agent_svid_attempts_total{result="failed"}`:                        "0x310",
	`ensign_agent_svid_expiry_timestamp_seconds`:                               fmt.Sprint(day) + "x310",
	`ensign_csr_total{outcome="issued"}`:                                       "0+3x310",
	`ensign_csr_total{outcome="ledger"}`:                                       "0x310",
	`ensign_csr_total{outcome="remote"}`:                                       "0x310",
	`ensign_csr_total{outcome="expired"}`:                                      "0+1x310",
	`ensign_issuance_surging`:                                                  "0x310",
}

// bad is what a healthy mesh shows instead, and the alerts that fire then, at a time.
type bad struct {
	name   string
	series map[string]string
	at     string
	want   []string
}

const root, issuer = `ensign_root_expiry_timestamp_seconds{fingerprint="ab12",signing="true"}`, `ensign_issuer_expiry_timestamp_seconds`

var cases = []bad{
	{"nothing is wrong", nil, "5h", nil},
	{"Vault's token has no end", map[string]string{`ensign_upstream_token_expiry_timestamp_seconds`: strings.Repeat("Inf ", 310)}, "5h", nil},
	{"no Vault, no bundle endpoint", map[string]string{
		`ensign_upstream_token_expiry_timestamp_seconds`: "_x310", `ensign_bundle_endpoint_certificate_expiry_timestamp_seconds`: "_x310",
	}, "5h", nil},

	{"the root has 80 days", map[string]string{root: fmt.Sprint(80*day) + "x310"}, "1h", []string{"EnsignRootExpiring"}},
	{"the root has 10 days", map[string]string{root: fmt.Sprint(10*day) + "x310"}, "1h", []string{"EnsignRootExpiring", "EnsignRootExpiresSoon"}},
	{"the root is over", map[string]string{root: "60x310"}, "1h", []string{"EnsignRootExpiring", "EnsignRootExpiresSoon"}},
	{"an old root that is still trusted has 10 days", map[string]string{
		`ensign_root_expiry_timestamp_seconds{fingerprint="cd34",signing="false"}`: fmt.Sprint(10*day) + "x310",
	}, "1h", []string{"EnsignRootExpiring"}},
	{"the issuer is due for a few minutes", map[string]string{`ensign_issuer_replace_timestamp_seconds`: "3600x310"}, "1h30m", nil},
	{"the issuer is due for hours", map[string]string{`ensign_issuer_replace_timestamp_seconds`: "3600x310"}, "4h", []string{"EnsignIssuerNotReplaced"}},
	{"the issuer has 20 hours", map[string]string{issuer: "72000x310"}, "1h", []string{"EnsignIssuerExpiresSoon"}},
	{"there is no issuer", map[string]string{issuer: "0x310"}, "1h", []string{"EnsignIssuerExpiresSoon"}},
	{"CRLs are in force", map[string]string{`ensign_crl_next_update_timestamp_seconds`: fmt.Sprint(7*day) + "x310"}, "5h", nil},
	{"a CRL has half an hour", map[string]string{`ensign_crl_next_update_timestamp_seconds`: "9000x310"}, "2h", []string{"EnsignCRLExpiresSoon"}},
	{"a CRL is broken", map[string]string{`ensign_crl_problems`: "1x310"}, "15m", []string{"EnsignCRLProblems"}},
	{"the bundle endpoint's certificate was not renewed", map[string]string{
		`ensign_bundle_endpoint_certificate_expiry_timestamp_seconds`: "14400x310",
	}, "1h", []string{"EnsignBundleCertificateExpiresSoon"}},

	{"a rotation goes on", map[string]string{`ensign_rotation_step_since_timestamp_seconds`: "0+60x310"}, "5h", nil},
	{"a gate waits", map[string]string{`ensign_rotation_step_since_timestamp_seconds`: "600x310"}, "1h", []string{"EnsignRotationGateWaiting"}},
	{"a gate waits for its laggards", map[string]string{
		`ensign_rotation_step_since_timestamp_seconds`: "600x310", `ensign_rotation_gate_instances{state="laggard"}`: "3x310",
	}, "1h", []string{"EnsignRotationGateWaiting", "EnsignRotationLaggards"}},
	{"somebody cannot report", map[string]string{`ensign_rotation_gate_instances{state="unverifiable"}`: "1x310"}, "20m", []string{"EnsignRotationLaggards"}},
	{"laggards of a moment", map[string]string{`ensign_rotation_gate_instances{state="laggard"}`: "20x10 0x310"}, "16m", nil},
	{"a rotation is paused", map[string]string{
		`ensign_rotation_step_since_timestamp_seconds`: "600x310", `ensign_rotation_paused`: "1x310",
	}, "3h", nil},
	{"a rotation is forgotten", map[string]string{
		`ensign_rotation_step_since_timestamp_seconds`: "600x310", `ensign_rotation_paused`: "1x310",
	}, "5h", []string{"EnsignRotationPaused"}},
	{"a step fails", map[string]string{`ensign_rotation_problem`: "1x310"}, "10m", []string{"EnsignRotationFailing"}},
	{"a rotation was rolled back", map[string]string{`ensign_rotation_ended_total{outcome="rolled-back"}`: "0x29 1x280"}, "1h", []string{"EnsignRotationRolledBack"}},

	{"there is no token for Vault", map[string]string{`ensign_upstream_token_expiry_timestamp_seconds`: "0x310"}, "10m", []string{"EnsignVaultTokenExpiring"}},
	{"the token for Vault was not renewed", map[string]string{`ensign_upstream_token_expiry_timestamp_seconds`: "3600x310"}, "1h5m", []string{"EnsignVaultTokenExpiring"}},
	{"Vault is sealed", map[string]string{`ensign_root_unwell`: "0x30 1x280"}, "1h", []string{"EnsignRootUnwell"}},
	{"Vault signs each SVID, and is denied it", map[string]string{
		`ensign_csr_total{outcome="issued"}`: "0x310", `ensign_csr_total{outcome="remote"}`: "0+1x310",
	}, "1h", []string{"EnsignIssuanceFails"}},
	{"Vault stumbles", map[string]string{`ensign_root_unwell`: strings.Repeat("1x9 0 ", 28)}, "1h", nil},

	{"the disk is full", map[string]string{
		`ensign_ledger_writable`: "0x310", `ensign_ledger_commit_failures_total`: "0+1x310", `ensign_csr_total{outcome="ledger"}`: "0+5x310",
	}, "30m", []string{"EnsignLedgerNotWritable", "EnsignLedgerCommitsFail", "EnsignIssuanceFails"}},
	{"one commit failed", map[string]string{`ensign_ledger_commit_failures_total`: "0x20 1x290"}, "25m", []string{"EnsignLedgerCommitsFail"}},
	{"the ledger was forked", map[string]string{`ensign_agent_ledger_forked`: "1x310"}, "5m", []string{"EnsignLedgerForked"}},
	{"ensignd is gone", map[string]string{`ensign_ledger_writable`: "1x60 stale _x240"}, "2h", []string{"EnsignMetricsMissing"}},

	{"an agent is refused", map[string]string{
		`ensign_agent_svid_attempts_total{result="ok"}`: "7x310", `ensign_agent_svid_attempts_total{result="failed"}`: "0+1x310",
	}, "30m", []string{"EnsignRenewalsFailing"}},
	{"an agent tries twice", map[string]string{`ensign_agent_svid_attempts_total{result="failed"}`: "0+1x310"}, "30m", nil},
	{"an SVID is about to end", map[string]string{`ensign_agent_svid_expiry_timestamp_seconds`: "3600x310"}, "58m", []string{"EnsignSVIDExpiresSoon"}},
	{"an agent without an SVID yet", map[string]string{`ensign_agent_svid_expiry_timestamp_seconds`: "0x310"}, "5h", nil},
	{"one request failed", map[string]string{`ensign_csr_total{outcome="ledger"}`: "0x20 1x290"}, "26m", nil},
	{"an identity asks too much", map[string]string{`ensign_issuance_surging`: "1x310"}, "5m", []string{"EnsignIssuanceSurging"}},
}

// sample, question, series and scenario have the form of promtool's files of tests.
type sample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

type question struct {
	Expr     string   `yaml:"expr"`
	EvalTime string   `yaml:"eval_time"`
	Samples  []sample `yaml:"exp_samples"`
}

type series struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type scenario struct {
	Interval  string     `yaml:"interval"`
	Series    []series   `yaml:"input_series"`
	Questions []question `yaml:"promql_expr_test"`
}

// scenarioOf asks which alerts fire: exactly those that are wanted.
func scenarioOf(t *testing.T, c bad) scenario {
	t.Helper()
	s := scenario{Interval: "1m"}
	for name, values := range healthy {
		if instead, changed := c.series[name]; changed {
			values = instead
		}
		metric, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		s.Series = append(s.Series, series{metric + `{instance="one:15014",job="ensign",` + labels + `}`, values})
	}
	for name := range c.series {
		if healthy[name] == "" {
			t.Fatalf("%s: %s is not in a healthy mesh", c.name, name)
		}
	}
	q := question{Expr: `group by (alertname) (ALERTS{alertstate="firing"})`, EvalTime: c.at, Samples: []sample{}}
	for _, alert := range c.want {
		q.Samples = append(q.Samples, sample{`{alertname="` + alert + `"}`, 1})
	}
	s.Questions = []question{q}
	return s
}

// judge has promtool run a case against a file of rules.
func judge(t *testing.T, file string, c bad) (string, error) {
	t.Helper()
	text, err := yaml.Marshal(map[string]any{
		"rule_files": []string{file}, "evaluation_interval": "1m", "tests": []scenario{scenarioOf(t, c)},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "test.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return promtool(t, "test", "rules", path)
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	file, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if out, err := judge(t, file, c); err != nil {
				t.Errorf("at %s %v should fire: %v: %s", c.at, c.want, err, out)
			}
		})
	}
}

// TestEachAlertHasACase: and a case that no longer fires is seen.
func TestEachAlertHasACase(t *testing.T) {
	for _, r := range rules(t) {
		if !slices.ContainsFunc(cases, func(c bad) bool { return slices.Contains(c.want, r.Alert) }) {
			t.Errorf("%s fires in no case", r.Alert)
		}
	}
	none := filepath.Join(t.TempDir(), "none.yaml")
	if err := os.WriteFile(none, []byte("groups: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases[3:5] {
		if out, err := judge(t, none, c); err == nil {
			t.Errorf("%s: fires without a rule: %s", c.name, out)
		}
	}
}
