package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/spf13/cobra"
)

func (a *app) doctorCommand() *cobra.Command {
	var brokers, api string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find out why events do not arrive, and what to do about it",
		Long: "Check everything that an event passes, concurrently: the data folder of `sipeat serve`, brokers (address, TLS\n" +
			"and login), topics, broker settings, consumer groups with their members and backlog, dead letters with their\n" +
			"reasons, the read model, notification channels, the issuer of tokens, the API at --api, and the containers of a\n" +
			"compose file in this folder. Doctor changes nothing and sends no notification. Each problem comes with a remedy.\n\n" +
			"The exit status is 1 if a check failed, and 0 otherwise. A note is no failure.",
		Example: "  sipeat doctor\n" +
			"  sipeat doctor --api http://127.0.0.1:8080 --brokers kafka1:9092\n" +
			"  sipeat doctor --json | jq '.findings[] | select(.status == \"wrong\")'",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cluster, err := a.cluster(brokers)
			if err != nil {
				return err
			}
			return a.doctor(c.Context(), cluster, api, asJSON)
		},
	}
	c.Flags().StringVar(&api, "api", "", "address of the API, for example http://127.0.0.1:8080")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	return c
}

// The statuses of a finding.
const (
	well    = "ok"
	noted   = "note"  // worth knowing, not a failure
	wrong   = "wrong" // the exit status is 1
	skipped = "skipped"
)

// finding is the result of looking at one thing.
type finding struct {
	Part    string `json:"part"`
	Subject string `json:"subject"`
	Status  string `json:"status"`
	Says    string `json:"says"`
	Remedy  string `json:"remedy,omitempty"`

	Classes map[bus.Class]int `json:"classes,omitempty"` // of the newest dead letters: how many of each
}

func good(subject, says string) finding { return finding{Subject: subject, Status: well, Says: says} }

func note(subject, says, remedy string) finding {
	return finding{Subject: subject, Status: noted, Says: says, Remedy: remedy}
}

func fault(subject, says, remedy string) finding {
	return finding{Subject: subject, Status: wrong, Says: says, Remedy: remedy}
}

// check looks at one part. The order of the checks is that of the report.
type check struct {
	part string
	look func(context.Context) []finding
}

func (a *app) doctor(ctx context.Context, cluster settings.Kafka, api string, asJSON bool) error {
	k := &kafkaChecks{cluster: cluster}
	findings := examine(ctx, []check{
		{"disk", func(context.Context) []finding { return checkDisk(a.settings.Serve.Data) }},
		{"kafka", k.brokers},
		{"settings", k.settings},
		{"topics", k.topics},
		{"groups", k.groups},
		{"dead letters", k.deadLetters},
		{"store", func(ctx context.Context) []finding { return a.checkStore(ctx, k) }},
		{"notify", a.checkNotifiers},
		{"issuer", a.checkIssuer},
		{"api", func(ctx context.Context) []finding { return checkAPI(ctx, api) }},
		{"containers", checkContainers},
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	faults := 0
	for _, f := range findings {
		if f.Status == wrong {
			faults++
		}
	}
	show := a.showFindings
	if asJSON {
		show = func(findings []finding) error {
			return a.writeJSON(map[string]any{"ok": faults == 0, "findings": findings}, "  ")
		}
	}
	if err := show(findings); err != nil {
		return err
	}
	if faults > 0 {
		return fmt.Errorf("%d of %d checks failed", faults, len(findings))
	}
	return nil
}

const checkTimeout = 15 * time.Second

// examine runs the checks concurrently. One that exceeds checkTimeout is a finding itself.
func examine(ctx context.Context, checks []check) (all []finding) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	found := make([][]finding, len(checks))
	var looking sync.WaitGroup
	for i, c := range checks {
		looking.Go(func() {
			done := make(chan []finding, 1)
			go func() { done <- c.look(ctx) }()
			select {
			case found[i] = <-done:
			case <-ctx.Done():
				found[i] = []finding{fault("", fmt.Sprintf("no answer within %s", checkTimeout),
					"check its load, and whether a firewall drops packets in between")}
			}
		})
	}
	looking.Wait()
	for i, c := range checks {
		for _, f := range found[i] {
			f.Part = c.part
			all = append(all, f)
		}
	}
	return all
}

// showFindings aligns the findings. It uses colours on a terminal unless NO_COLOR is set (https://no-color.org).
func (a *app) showFindings(findings []finding) error {
	paint := map[string]*color.Color{
		well: color.New(color.FgGreen), noted: color.New(color.FgYellow),
		wrong: color.New(color.FgRed), skipped: color.New(color.Faint),
	}
	colours := isTerminal(a.stdout) && os.Getenv("NO_COLOR") == ""
	for _, c := range paint {
		if c.DisableColor(); colours {
			c.EnableColor()
		}
	}
	parts, subjects := 0, 0
	for _, f := range findings {
		parts, subjects = max(parts, utf8.RuneCountInString(f.Part)), max(subjects, utf8.RuneCountInString(f.Subject))
	}
	var out strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&out, "%s  %-*s  %-*s  %s\n", paint[f.Status].Sprintf("%-7s", f.Status), parts, f.Part, subjects, f.Subject,
			events.LogText(f.Says))
		if f.Remedy != "" {
			fmt.Fprintf(&out, "%*s  -> %s\n", 7+2+parts+2+subjects, "", events.LogText(f.Remedy))
		}
	}
	_, err := io.WriteString(a.stdout, out.String())
	return err
}
