package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/spf13/cobra"
)

func (a *app) publishCommand() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:   "publish TYPE",
		Short: "Publish events from JSON lines on standard input",
		Long: "Publish events of one type. Each line on standard input is the payload of an event: a JSON object with the\n" +
			"fields of the type; id and timestamp default to new ones. Lines are validated like API requests. Invalid\n" +
			"lines are reported with the reason and skipped; the others are published in order, and the exit status is 1.\n\n" +
			"With --idempotency-key, the same lines with the same key are the same events, so an interrupted run can be\n" +
			"repeated.\n\nTypes: " + strings.Join(topicNames(), ", "),
		Example: "  sipeat publish contact-created < contacts.jsonl\n" +
			"  sipeat publish request-created --brokers kafka1:9092,kafka2:9092 --idempotency-key import-7 < requests.jsonl",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: topicNames(),
		RunE: func(c *cobra.Command, args []string) error {
			definition, _ := events.Lookup(args[0])
			return a.publish(c.Context(), definition, key)
		},
	}
	c.Flags().StringVar(&key, "idempotency-key", "", "publish the same lines as the same events when run again")
	addFlags(c, "brokers")
	return c
}

type publishing struct {
	*parts
	definition         events.Definition
	key                string
	bar                *progressbar.ProgressBar
	started            time.Time
	waiting            []sent
	published, refused int
}

// sent is a line that waits for its acknowledgement.
type sent struct {
	line    int
	pending *kafka.Pending
}

func (a *app) publish(ctx context.Context, d events.Definition, key string) error {
	if err := a.reach(ctx, kafka.Requirements{Write: []string{d.Topic}}); err != nil {
		return err
	}
	parts := a.newParts()
	parts.brief = true // every line that was sent was waited for
	defer func() { _ = parts.close() }()
	if err := parts.openPublisher(); err != nil {
		return err
	}
	if isTerminal(a.stdin) {
		fmt.Fprintln(a.stderr, "Type one JSON object per line; Ctrl-D ends.")
	}
	p := &publishing{parts: parts, definition: d, key: key, started: time.Now(),
		bar: progressbar.NewOptions64(-1, progressbar.OptionSetWriter(a.stderr), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetVisibility(isTerminal(a.stderr)))}
	err := errors.Join(p.run(ctx), p.settle(len(p.waiting)))
	_ = p.bar.Clear()
	fmt.Fprintf(a.stderr, "published %d, refused %d\n", p.published, p.refused)
	if err == nil && p.refused > 0 {
		err = fmt.Errorf("%d of %s refused", p.refused, counted(p.published+p.refused, "line"))
	}
	return err
}

// inFlight is how many lines may wait for their acknowledgement.
const inFlight = 1000

// run sends the lines in order. It ends at the first line that is not acknowledged, and once ctx is done.
func (p *publishing) run(ctx context.Context) error {
	lines := make(chan line, 64)
	go p.read(lines) // a read cannot be interrupted: the process may leave it behind
	last := 0
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted after line %d; later lines were not published", last)
		case l, open := <-lines:
			if !open || l.err != nil {
				return l.err
			}
			last = l.number
			event, err := p.event(l)
			if err != nil {
				p.refused++
				_ = p.bar.Clear()
				fmt.Fprintf(p.stderr, "line %d: %s\n", l.number, faults(err))
				continue
			}
			p.waiting = append(p.waiting, sent{l.number, p.publisher.Send(ctx, event)})
			if len(p.waiting) == inFlight {
				if err := p.settle(inFlight / 2); err != nil {
					return err
				}
			}
		}
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

// faults names each invalid field of a line, or its other fault.
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

// settle waits for the acknowledgement of the oldest n lines. Each wait has its own timeout.
func (p *publishing) settle(n int) error {
	for _, s := range p.waiting[:n] {
		if _, err := s.pending.Wait(context.Background()); err != nil {
			last := p.waiting[len(p.waiting)-1].line
			p.waiting = nil
			return fmt.Errorf("lines %d to %d were sent, but not confirmed, and may or may not be published; later lines were not "+
				"published; repeat the run with the same --idempotency-key (without one, events may be published twice): %w",
				s.line, last, err)
		}
		p.published++
		p.bar.Describe(fmt.Sprintf("published %d, %.0f per second", p.published, float64(p.published)/time.Since(p.started).Seconds()))
	}
	p.waiting = append(p.waiting[:0], p.waiting[n:]...)
	return nil
}

// maxLine is the longest line that publish reads; no topic of the catalogue accepts a larger event.
const maxLine = 1 << 20

// line is a line that is not blank, or the error that ended the reading.
type line struct {
	number int
	text   []byte
	err    error
}

func (p *publishing) read(lines chan<- line) {
	defer close(lines)
	scanner := bufio.NewScanner(p.stdin)
	scanner.Buffer(make([]byte, 0, 64<<10), maxLine)
	n := 1
	for ; scanner.Scan(); n++ {
		text := bytes.TrimSpace(bytes.TrimPrefix(scanner.Bytes(), []byte("\xef\xbb\xbf"))) // a byte order mark
		if len(text) > 0 {
			lines <- line{number: n, text: bytes.Clone(text)}
		}
	}
	if err := scanner.Err(); err != nil {
		lines <- line{err: fmt.Errorf("line %d cannot be read; only the lines before it are published "+
			"(a line has at most %d bytes): %w", n, maxLine, err)}
	}
}
