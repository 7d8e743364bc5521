package need

import "testing"

// Versions of what the project is tested with: an API server of Kubernetes, its etcd, and
// the plugin by which Vault has that API server review tokens.
const (
	KubernetesVersion      = "1.35.4"
	EtcdVersion            = "3.6.16"
	VaultKubernetesVersion = "0.23.1"
)

// Kubernetes are the paths of an API server and of an etcd for it:
// $ENSIGN_KUBE_APISERVER and $ENSIGN_ETCD, else the cache that `make kube` fills, else
// PATH.
func Kubernetes(t testing.TB) (apiServer, etcd string) {
	t.Helper()
	apiServer = found("ENSIGN_KUBE_APISERVER", "kubernetes-"+KubernetesVersion, "kube-apiserver")
	etcd = found("ENSIGN_ETCD", "etcd-"+EtcdVersion, "etcd")
	if apiServer == "" || etcd == "" {
		skip(t, "no API server of Kubernetes: run `make kube` (ten minutes, once), or set ENSIGN_KUBE_APISERVER and ENSIGN_ETCD")
	}
	return apiServer, etcd
}

// VaultKubernetes is the path of Vault's plugin for logins by tokens of Kubernetes:
// $ENSIGN_VAULT_KUBERNETES, else the cache that `make kube` fills, else PATH.
func VaultKubernetes(t testing.TB) string {
	t.Helper()
	path := found("ENSIGN_VAULT_KUBERNETES", "vault-plugin-auth-kubernetes-"+VaultKubernetesVersion, "vault-plugin-auth-kubernetes")
	if path == "" {
		skip(t, "no plugin of Vault for Kubernetes: run `make kube` (ten minutes, once), or set ENSIGN_VAULT_KUBERNETES")
	}
	return path
}
