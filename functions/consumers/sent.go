package consumers

import "sync"

// maxSent is more than a process can send before the first failure of the store stops further claims.
const maxSent = 4096

// sent is the claims of messages that this process has sent and not yet completed, so that it does not send them again. nil
// remembers nothing.
type sent struct {
	mu  sync.Mutex
	ids map[[2]string]struct{} // id and channel
}

func (s *sent) add(id, channel string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[[2]string]struct{}{}
	}
	for other := range s.ids {
		if len(s.ids) < maxSent {
			break
		}
		delete(s.ids, other)
	}
	s.ids[[2]string{id, channel}] = struct{}{}
}

func (s *sent) has(id, channel string) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.ids[[2]string{id, channel}]
	return ok
}

func (s *sent) remove(id, channel string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ids, [2]string{id, channel})
}
