package need_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ensign-mesh/ensign/internal/need"
)

// TestTheTestsLookForWhatIsBuilt: the versions here are those that deploy/tools pins.
func TestTheTestsLookForWhatIsBuilt(t *testing.T) {
	for file, pins := range map[string][]string{
		"vault/go.mod": {"github.com/hashicorp/vault v" + need.VaultVersion},
		"kube/go.mod": {"k8s.io/kubernetes v" + need.KubernetesVersion, "go.etcd.io/etcd/server/v3 v" + need.EtcdVersion,
			"github.com/hashicorp/vault-plugin-auth-kubernetes v" + need.VaultKubernetesVersion},
	} {
		text, err := os.ReadFile(filepath.Join(need.Tree(t), "deploy", "tools", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, pin := range pins {
			if !strings.Contains(string(text), pin+"\n") {
				t.Errorf("deploy/tools/%s does not require %s", file, pin)
			}
		}
	}
}

func TestMissingKubernetesSkipsOutsideOfCI(t *testing.T) {
	t.Setenv("CI", "")
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for _, variable := range []string{"ENSIGN_KUBE_APISERVER", "ENSIGN_ETCD", "ENSIGN_VAULT_KUBERNETES"} {
		t.Setenv(variable, "")
	}
	for name, find := range map[string]func(testing.TB){
		"API server": func(t testing.TB) { need.Kubernetes(t) }, "plugin": func(t testing.TB) { need.VaultKubernetes(t) },
	} {
		skipped := false
		t.Run(name, func(t *testing.T) {
			defer func() { skipped = t.Skipped() }()
			find(t)
		})
		if !skipped {
			t.Errorf("went on without the %s", name)
		}
	}
}
