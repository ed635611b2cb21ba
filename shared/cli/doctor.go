package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/spf13/cobra"
)

// checkTimeout is how long each check may take. They run at the same time.
const checkTimeout = 15 * time.Second

func (a *app) doctorCommand() *cobra.Command {
	var brokers, api string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong when nothing arrives, and what to do about it",
		Long: "Look at everything that an event passes, at the same time: names in the environment that nothing reads, brokers\n" +
			"(address, TLS and login told apart), topics, the brokers' settings that break a promise, consumer groups with\n" +
			"their members and how far behind they are, dead letters and why they were rejected, the read model, whether\n" +
			"notifications would get through, the issuer of tokens, the API if --api says where it is, and the containers\n" +
			"where there is a docker command and a compose file in this folder.\n" +
			"It changes nothing and tells nobody anything. Beside each finding stands what to do about it.\n\n" +
			"The exit status is 0 if all is well and 1 if something is wrong. A note is neither.",
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
	c.Flags().StringVar(&api, "api", "", "the API's address, such as http://127.0.0.1:8080")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	return c
}

// The verdicts of a finding.
const (
	well    = "ok"
	noted   = "note"  // nothing is broken, but somebody should know
	wrong   = "wrong" // the exit status is 1
	skipped = "skipped"
)

// finding is one thing that was looked at.
type finding struct {
	Part    string `json:"part"`
	Subject string `json:"subject"`
	Status  string `json:"status"`
	Says    string `json:"says"`
	Remedy  string `json:"remedy,omitempty"`

	Classes map[bus.Class]int `json:"classes,omitempty"` // of the newest dead letters: how many of each
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
	if asJSON {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(map[string]any{"ok": faults == 0, "findings": findings}); err != nil {
			return err
		}
	} else if err := a.showFindings(findings); err != nil {
		return err
	}
	if faults > 0 {
		return fmt.Errorf("%d of %d findings are wrong", faults, len(findings))
	}
	return nil
}

// examine runs the checks at the same time. One that does not end in time is a finding itself.
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
				found[i] = []finding{{Status: wrong, Says: fmt.Sprintf("no answer within %s", checkTimeout), Remedy: "is it overloaded, or is something between that swallows what is sent?"}}
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

// showFindings aligns the findings; colour is for terminals whose owner does not mind (https://no-color.org).
func (a *app) showFindings(findings []finding) error {
	paint := map[string]*color.Color{
		well: color.New(color.FgGreen), noted: color.New(color.FgYellow), wrong: color.New(color.FgRed), skipped: color.New(color.Faint),
	}
	f, ok := a.stdout.(*os.File)
	colourful := ok && isatty.IsTerminal(f.Fd()) && os.Getenv("NO_COLOR") == ""
	for _, c := range paint {
		if c.DisableColor(); colourful {
			c.EnableColor()
		}
	}
	parts, subjects := 0, 0
	for _, f := range findings {
		parts, subjects = max(parts, utf8.RuneCountInString(f.Part)), max(subjects, utf8.RuneCountInString(f.Subject))
	}
	var out strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&out, "%s  %-*s  %-*s  %s\n", paint[f.Status].Sprintf("%-7s", f.Status), parts, f.Part, subjects, f.Subject, f.Says)
		if f.Remedy != "" {
			fmt.Fprintf(&out, "%*s  -> %s\n", 7+2+parts+2+subjects, "", f.Remedy)
		}
	}
	_, err := io.WriteString(a.stdout, out.String())
	return err
}
