package mesh

import "testing"

func TestReservedPortsAreTold(t *testing.T) {
	for port, told := range map[uint32]int{80: 0, 15000: 0, 15001: 2, 15006: 2, 15020: 0, 15021: 0, 15090: 0} {
		service, entry := newService("shop", "a", "a"), newEntry("shop", "e", vault)
		service.Spec.Ports[0].Port, entry.Spec.Ports[0].Number = int32(port), port
		s, _, problems := NewBuilder(testDomain).Apply(Update{Upserts: []Object{serviceObject(service), entryObject(entry)}})
		if len(problems) != told || len(s.Services) != 2 {
			t.Errorf("port %d: problems %+v, services %v", port, problems, s.Services)
		}
	}
}
