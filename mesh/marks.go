package mesh

// marks is what one Apply has to compose again, and the maps that it writes.
type marks struct {
	hosts  Set[string] // services and endpoints
	pods   Set[Key]    // workloads
	peers  Set[string] // namespaces whose PeerAuthentications changed
	routes Set[string] // hosts
	rules  Set[string] // hosts
	config *Config     // nil: unchanged
	denied *Denied     // in the next snapshot

	namespaces *draft[string, *Namespace]
	accounts   *draft[Key, *Account]
	services   *draft[string, *Service]
	endpoints  *draft[string, *EndpointSet]
	workloads  *draft[Key, *Workload]
	ports      *lists[uint32, string]
	addresses  *lists[string, string]
	routing    *lists[string, *VirtualService]
	ruling     *lists[string, *DestinationRule]

	endpointHosts, accountHosts Set[string]
	portNumbers                 Set[uint32] // whose list of hosts changed
	vips                        Set[string] // likewise
}

func newMarks(last *Snapshot) *marks {
	return &marks{
		denied: last.Denied,
		hosts:  Set[string]{}, pods: Set[Key]{}, peers: Set[string]{}, routes: Set[string]{}, rules: Set[string]{},
		namespaces: draftOf(last.Namespaces), accounts: draftOf(last.Accounts), services: draftOf(last.Services),
		endpoints: draftOf(last.Endpoints), workloads: draftOf(last.Workloads),
		ports: listsOf(last.Ports), addresses: listsOf(last.Addresses), routing: listsOf(last.Routes), ruling: listsOf(last.DestinationRules),
		endpointHosts: Set[string]{}, accountHosts: Set[string]{}, portNumbers: Set[uint32]{}, vips: Set[string]{},
	}
}

func (m *marks) setConfig(c *Config) { m.config = c }

// changes is the change set of what was written.
func (m *marks) changes(config, denied bool) ChangeSet {
	return ChangeSet{
		Services: m.services.changed, Endpoints: m.endpointHosts, Accounts: m.accountHosts,
		Routes: m.routing.changed, DestinationRules: m.ruling.changed, Workloads: m.workloads.changed,
		Namespaces: m.namespaces.changed, ServiceAccounts: m.accounts.changed, Config: config, Denied: denied,
	}
}
