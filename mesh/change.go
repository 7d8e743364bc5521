package mesh

// Set is a set of names.
type Set[T comparable] map[T]struct{}

// Add puts v into the set.
func (s Set[T]) Add(v T) { s[v] = struct{}{} }

// Has says whether v is in the set.
func (s Set[T]) Has(v T) bool { _, ok := s[v]; return ok }

// ChangeSet says what is not the same in a snapshot as in the one before:
// changed, added or removed. Work after a change is in proportion to it.
type ChangeSet struct {
	Services         Set[string] // hosts
	Endpoints        Set[string] // hosts whose Ports changed
	Accounts         Set[string] // hosts whose EndpointSet.Accounts changed
	Routes           Set[string] // hosts
	DestinationRules Set[string] // hosts
	Workloads        Set[Key]
	Namespaces       Set[string]
	ServiceAccounts  Set[Key]
	Config           bool
	// Denied: Snapshot.Denied changed. What quarantine takes from hosts and
	// workloads is in their own sets.
	Denied bool
}

// Empty says whether nothing changed.
func (c ChangeSet) Empty() bool {
	return !c.Config && !c.Denied && len(c.Services)+len(c.Endpoints)+len(c.Accounts)+len(c.Routes)+
		len(c.DestinationRules)+len(c.Workloads)+len(c.Namespaces)+len(c.ServiceAccounts) == 0
}
