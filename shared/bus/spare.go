package bus

// spare keeps what a partition uses again instead of leaving it to the garbage collector, which would cost more than the
// delivery does.
type spare struct {
	lanes        *lane
	chunks       *chunk
	nLane, nKept int
}

// What is kept at most: enough for a partition that keeps up.
const (
	spareLanes  = 1024
	spareChunks = 16
)

func (s *spare) lane() *lane {
	l := s.lanes
	if l == nil {
		return &lane{}
	}
	s.lanes, l.behind = l.behind, nil
	s.nLane--
	return l
}

func (s *spare) keepLane(l *lane) {
	if s.nLane < spareLanes {
		*l = lane{behind: s.lanes}
		s.lanes = l
		s.nLane++
	}
}

func (s *spare) chunk() *chunk {
	c := s.chunks
	if c == nil {
		return &chunk{}
	}
	s.chunks, c.behind = c.behind, nil
	s.nKept--
	return c
}

func (s *spare) keepChunk(c *chunk) {
	if s.nKept < spareChunks {
		clear(c.deliveries[:c.used])
		c.used, c.handled, c.behind = 0, 0, s.chunks
		s.chunks = c
		s.nKept++
	}
}
