package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

// maxLine is the longest line that publish reads; no event may be larger on its topic.
const maxLine = 1 << 20

// inFlight is how many lines may wait for their acknowledgement.
const inFlight = 1000

// publishing is one run of publish.
type publishing struct {
	app                *app
	definition         events.Definition
	key                string
	bar                *progressbar.ProgressBar
	waiting            []sent
	published, refused int
}

type sent struct {
	line    int
	pending *kafka.Pending
}

// line is a line that holds something, or what ended the reading.
type line struct {
	number int
	text   []byte
	err    error
}

// run publishes the lines in order. It waits for the oldest acknowledgements when enough are in flight, and ends at the
// first that does not come: the brokers are gone then. Once ctx is done it reads no further line, and waits for those that
// are on their way.
func (p *publishing) run(ctx context.Context, publisher *kafka.Publisher) error {
	last := 0
	for l := range p.lines(ctx) {
		if l.err != nil {
			return errors.Join(p.settle(len(p.waiting)), l.err)
		}
		last = l.number
		event, err := p.event(l)
		if err != nil {
			p.refused++
			_ = p.bar.Clear() // it only draws
			fmt.Fprintf(p.app.stderr, "line %d: %s\n", l.number, faults(err))
			continue
		}
		p.waiting = append(p.waiting, sent{l.number, publisher.Send(ctx, event)})
		if len(p.waiting) == inFlight {
			if err := p.settle(inFlight / 2); err != nil {
				return err
			}
		}
	}
	if err := p.settle(len(p.waiting)); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted after line %d; what follows was not published", last)
	}
	return nil
}

// faults is what is wrong with a line: each field that is, or the error where that names none.
func faults(err error) string {
	var e *events.Error
	if !errors.As(err, &e) || len(e.Fields) == 0 {
		return err.Error()
	}
	var all []string
	for _, f := range e.Fields {
		all = append(all, strings.TrimSpace(f.Pointer+" "+f.Detail))
	}
	return strings.Join(all, "; ")
}

// settle waits for the acknowledgement of the oldest n lines. Each wait bounds itself.
func (p *publishing) settle(n int) error {
	for _, s := range p.waiting[:n] {
		if _, err := s.pending.Wait(context.Background()); err != nil {
			return fmt.Errorf("%s: %w", p.doubt(s.line), err)
		}
		p.published++
	}
	p.waiting = append(p.waiting[:0], p.waiting[n:]...)
	return p.bar.Add(n)
}

// doubt says what is not known once the acknowledgement of a line does not come: those behind it may be on their way too.
func (p *publishing) doubt(first int) string {
	what := fmt.Sprintf("line %d was not confirmed and", first)
	if last := p.waiting[len(p.waiting)-1].line; last > first {
		what = fmt.Sprintf("lines %d to %d were sent, not confirmed and", first, last)
	}
	again := "sent again they may stand there twice, which --idempotency-key from the first time on is for"
	if p.key != "" {
		again = "run it again with the same lines and the same --idempotency-key"
	}
	return what + " may be published or not, what follows was not published; " + again
}

// lines reads standard input until it ends or ctx is done. A read cannot be interrupted, so it has a goroutine of its own,
// which the process may leave behind.
func (p *publishing) lines(ctx context.Context) iter.Seq[line] {
	read := make(chan line, 64)
	go p.scan(read)
	return func(yield func(line) bool) {
		for {
			select {
			case <-ctx.Done():
				return
			case l, ok := <-read:
				if !ok || !yield(l) {
					return
				}
			}
		}
	}
}

func (p *publishing) scan(read chan<- line) {
	defer close(read)
	scanner := bufio.NewScanner(p.app.stdin)
	scanner.Buffer(make([]byte, 0, 64<<10), maxLine)
	n := 0
	for scanner.Scan() {
		n++
		if text := bytes.TrimSpace(bytes.TrimPrefix(scanner.Bytes(), []byte("\xef\xbb\xbf"))); len(text) > 0 { // a byte order mark
			read <- line{number: n, text: bytes.Clone(text)}
		}
	}
	switch err := scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		read <- line{err: fmt.Errorf("line %d is longer than %d bytes; what comes before it is published, the rest is not", n+1, maxLine)}
	case err != nil:
		read <- line{err: fmt.Errorf("standard input, line %d: %w", n+1, err)}
	}
}

func (p *publishing) event(l line) (events.Any, error) {
	payload := p.definition.Payload()
	if err := web.Decode(l.text, payload); err != nil {
		return nil, err
	}
	seed := ""
	if p.key != "" {
		seed = strings.Join([]string{"publish", p.definition.Topic, p.key, strconv.Itoa(l.number), string(l.text)}, "\n")
	}
	return p.definition.Event(events.Factory{}, payload, events.DerivedFrom(seed))
}
