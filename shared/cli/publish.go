package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/spf13/cobra"
)

func (a *app) publishCommand() *cobra.Command {
	p := &publishing{app: a}
	c := &cobra.Command{
		Use:   "publish TYPE",
		Short: "Publish events from JSON lines on standard input",
		Long: "Publish events of one type. Each line on standard input is the payload of an event: a JSON object with the\n" +
			"fields of the type; id and timestamp default to new ones. Invalid lines are reported with the reason and skipped;\n" +
			"the others are published in order, and the exit status is 1. With --idempotency-key, the same lines with the same\n" +
			"key are the same events, so an interrupted run can be repeated.\n\nTypes: " + strings.Join(topicNames(), ", "),
		Example: "  sipeat publish contact-created < contacts.jsonl\n" +
			"  sipeat publish request-created --brokers kafka1:9092,kafka2:9092 --idempotency-key import-7 < requests.jsonl",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: topicNames(),
		RunE: func(c *cobra.Command, args []string) error {
			p.definition, _ = events.Lookup(args[0])
			return p.run(c.Context())
		},
	}
	c.Flags().StringVar(&p.key, "idempotency-key", "", "publish the same lines as the same events when run again")
	return a.withFlags(c, "brokers")
}

type publishing struct {
	*app
	definition         events.Definition
	key                string
	bar                *progressbar.ProgressBar
	waiting            []sent
	published, refused int
}

// sent is a line that waits for its acknowledgement.
type sent struct {
	line int
	wait func(context.Context) (bus.Position, error)
}

const (
	inFlight = 1000    // how many lines may wait for their acknowledgement
	maxLine  = 1 << 20 // of a line in bytes; no topic of the catalogue accepts a larger event
)

func (p *publishing) run(ctx context.Context) error {
	if err := p.reach(ctx, kafka.Requirements{Write: []string{p.definition.Topic}}); err != nil {
		return err
	}
	if err := p.openPublisher(); err != nil {
		return err
	}
	if isTerminal(p.stdin) {
		fmt.Fprintln(p.stderr, "Type one JSON object per line; Ctrl-D ends.")
	}
	p.bar = p.newBar(-1, "published")
	err := errors.Join(p.send(ctx), p.settle(0))
	_ = p.bar.Finish()
	fmt.Fprintf(p.stderr, "published %d, refused %d\n", p.published, p.refused)
	if err == nil && p.refused > 0 {
		err = fmt.Errorf("%d of %s refused", p.refused, counted(p.published+p.refused, "line"))
	}
	return err
}

// send sends the lines in order. It ends at the first line that is not acknowledged, and once ctx is done.
func (p *publishing) send(ctx context.Context) error {
	scanner, lines := bufio.NewScanner(p.stdin), make(chan []byte, 64)
	scanner.Buffer(make([]byte, 0, 64<<10), maxLine)
	go func() { // a read cannot be interrupted: the process may leave it behind
		defer close(lines)
		for scanner.Scan() {
			lines <- bytes.Clone(scanner.Bytes())
		}
	}()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted before line %d; it and later lines were not published", n)
		case text, open := <-lines:
			if !open && scanner.Err() != nil {
				return fmt.Errorf("line %d cannot be read; only the lines before it are published "+
					"(a line has at most %d bytes): %w", n, maxLine, scanner.Err())
			}
			if !open {
				return nil
			}
			if text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff"))); len(text) == 0 {
				continue
			}
			event, err := p.event(n, text)
			if err != nil {
				p.refused++
				_ = p.bar.Clear()
				fmt.Fprintf(p.stderr, "line %d: %v\n", n, err)
				continue
			}
			p.waiting = append(p.waiting, sent{n, p.publisher.Send(ctx, event)})
			if err := p.settle(inFlight); err != nil {
				return err
			}
		}
	}
}

func (p *publishing) event(line int, text []byte) (events.Any, error) {
	payload := p.definition.Payload()
	if err := web.Decode(text, payload); err != nil {
		return nil, err
	}
	seed := ""
	if p.key != "" {
		seed = strings.Join([]string{"publish", p.definition.Topic, p.key, strconv.Itoa(line), string(text)}, "\n")
	}
	return p.definition.Event(events.Factory{}, payload, events.DerivedFrom(seed))
}

// settle waits until at most this many lines wait for their acknowledgement. Each wait has its own timeout.
func (p *publishing) settle(limit int) error {
	for len(p.waiting) > limit {
		if _, err := p.waiting[0].wait(context.Background()); err != nil {
			first, last := p.waiting[0].line, p.waiting[len(p.waiting)-1].line
			p.waiting = nil
			return fmt.Errorf("lines %d to %d were sent, but not confirmed, and may or may not be published; later lines were not "+
				"published; repeat the run with the same --idempotency-key (without one, events may be published twice): %w",
				first, last, err)
		}
		p.waiting = p.waiting[1:]
		p.published++
		_ = p.bar.Add(1)
	}
	return nil
}
