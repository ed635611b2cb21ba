package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fatih/color"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/local"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/web/gateway"
	"github.com/spf13/cobra"
)

func (a *app) doctorCommand() *cobra.Command {
	var api string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find out why events do not arrive, and what to do about it",
		Long: "Check everything that an event passes: the data folder of `sipeat serve`, brokers (address, TLS and login),\n" +
			"topics, consumer groups with their members and backlog, dead letters with their reasons, the read model,\n" +
			"notification channels, the issuer of tokens, and the API at --api. Doctor changes nothing and sends no\n" +
			"notification. Each problem comes with a remedy.\n\n" +
			"The exit status is 1 if a check failed, and 0 otherwise. A note is no failure.",
		Example: "  sipeat doctor\n" +
			"  sipeat doctor --api http://127.0.0.1:8080 --brokers kafka1:9092\n" +
			"  sipeat doctor --json | jq '.findings[] | select(.status == \"wrong\")'",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.doctor(c.Context(), api) },
	}
	c.Flags().StringVar(&api, "api", "", "address of the API, for example http://127.0.0.1:8080")
	a.addJSONFlag(c)
	addFlags(c, "brokers")
	return c
}

// The statuses of a finding.
const (
	well    = "ok"
	noted   = "note"  // worth knowing, not a failure
	wrong   = "wrong" // the exit status is 1
	skipped = "skipped"
)

// finding is the result of a check of one subject.
type finding struct {
	Part    string `json:"part"`
	Subject string `json:"subject"`
	Status  string `json:"status"`
	Says    string `json:"says"`
	Remedy  string `json:"remedy,omitempty"`
}

// report collects what the check of one part finds.
type report struct {
	part     string
	check    func(context.Context, *report)
	findings []finding
}

func (r *report) add(status, subject, says, remedy string) {
	r.findings = append(r.findings, finding{r.part, subject, status, says, remedy})
}

// addError adds the error of a check that needs a broker.
func (r *report) addError(err error) {
	if err != nil {
		r.add(wrong, "", err.Error(), "fix the cause, and run doctor again")
	}
}

func (a *app) doctor(ctx context.Context, api string) error {
	brokers := runChecks(ctx, &report{part: "kafka", check: a.checkBrokers})
	topics, groups, deadLetters := a.checkTopics, a.checkGroups, a.checkDeadLetters
	if len(a.cluster.Brokers) == 0 {
		skip := func(_ context.Context, r *report) { r.add(skipped, "", "no broker can be used, see kafka", "") }
		topics, groups, deadLetters = skip, skip, skip
	}
	findings := slices.Concat(brokers, runChecks(ctx,
		&report{part: "disk", check: a.checkDisk},
		&report{part: "topics", check: topics},
		&report{part: "groups", check: groups},
		&report{part: "dead letters", check: deadLetters},
		&report{part: "store", check: a.checkStore},
		&report{part: "notify", check: a.checkNotifiers},
		&report{part: "issuer", check: a.checkIssuer},
		&report{part: "api", check: func(ctx context.Context, r *report) { checkAPI(ctx, r, api) }}))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	failed := 0
	for _, f := range findings {
		if f.Status == wrong {
			failed++
		}
	}
	if err := a.printFindings(findings, failed == 0); err != nil || failed == 0 {
		return err
	}
	return fmt.Errorf("%d of %d checks failed", failed, len(findings))
}

// runChecks runs checks concurrently, each for at most [reachTimeout]. The findings are in the order of the checks.
func runChecks(ctx context.Context, reports ...*report) (all []finding) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	var running sync.WaitGroup
	for _, r := range reports {
		running.Go(func() { r.check(ctx, r) })
	}
	running.Wait()
	for _, r := range reports {
		all = append(all, r.findings...)
	}
	return all
}

var paint = map[string]func(string, ...any) string{
	well: color.GreenString, noted: color.YellowString, wrong: color.RedString, skipped: color.HiBlackString,
}

func (a *app) printFindings(findings []finding, ok bool) error {
	if a.json {
		return a.writeJSON(map[string]any{"ok": ok, "findings": findings}, "  ")
	}
	var rows []string
	for _, f := range findings {
		status := paint[f.Status]
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s", status("%s", f.Status), f.Part, f.Subject, events.LogText(f.Says)))
		if f.Remedy != "" { // painted as well: tabwriter counts the codes of colours
			rows = append(rows, fmt.Sprintf("%s\t\t\t-> %s", status(" "), events.LogText(f.Remedy)))
		}
	}
	return printTable(a.stdout, rows...)
}

// checkBrokers checks the brokers, and leaves those in the cluster that can be used.
func (a *app) checkBrokers(ctx context.Context, r *report) {
	if a.cluster.Mechanism == settings.AWSMSKIAM {
		_, _ = a.cluster.AWSCredentials(ctx) // finding them may take longer than a broker waits; the login reports errors
	}
	states, usable := kafka.Brokers(ctx, a.cluster)
	a.cluster = usable
	says := "address ok"
	if a.cluster.TLS {
		says += ", TLS ok"
	}
	if a.cluster.Mechanism != "" {
		says += ", login ok (" + a.cluster.Mechanism + ")"
	}
	for _, s := range states {
		if s.Err == nil {
			r.add(well, s.Address, says, "")
		} else {
			r.add(wrong, s.Address, fmt.Sprintf("%s: %v", s.Stage, s.Err), s.Remedy)
		}
	}
}

// checkDisk checks the data folder of `sipeat serve`, if it exists.
func (a *app) checkDisk(_ context.Context, r *report) {
	dir := a.settings.Serve.Data
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err := local.CheckDisk(dir); err != nil {
		r.add(wrong, dir, err.Error(), "free space on this disk; `sipeat serve` recovers without a restart")
		return
	}
	r.add(well, dir, "writable, with space left", "")
}

func (a *app) checkTopics(ctx context.Context, r *report) {
	states, err := kafka.InspectTopics(ctx, a.cluster, kafka.Topics(events.Catalogue()...)...)
	r.addError(err)
	for _, s := range states {
		if !s.Exists {
			r.add(wrong, s.Topic, "missing", "sipeat topics")
		}
		for _, d := range s.Differences {
			r.add(wrong, s.Topic, fmt.Sprintf("%s is %s and should be %s", d.Setting, d.Have, d.Want), d.Remedy)
		}
	}
	if len(r.findings) == 0 {
		r.add(well, "", fmt.Sprintf("%d, as declared", len(states)), "")
	}
}

func (a *app) groups(ctx context.Context) ([]kafka.GroupState, error) {
	topicOf := map[string]string{}
	for _, f := range allConsumers() {
		topicOf[f.Consumer.Group] = f.Consumer.Topic
	}
	return kafka.Groups(ctx, a.cluster, topicOf)
}

func (a *app) checkGroups(ctx context.Context, r *report) {
	groups, err := a.groups(ctx)
	r.addError(err)
	for _, g := range groups {
		for _, l := range g.Lost {
			r.add(wrong, g.Group,
				fmt.Sprintf("offsets %d to %d of %s/%d are not in the log any more: %s", l.From, l.To-1, g.Topic, l.Partition, l.Reason),
				"a running worker resumes at the next record and logs the range: restore these events from a backup, or publish them again")
		}
		r.addGroup(g, time.Now())
	}
}

func (r *report) addGroup(g kafka.GroupState, now time.Time) {
	says := fmt.Sprintf("%s, %s, %s to handle on %s",
		g.State, counted(g.Members, "member"), counted(int(g.Lag), "event"), g.Topic)
	if !g.Oldest.IsZero() {
		says += fmt.Sprintf(", the oldest %s old", max(now.Sub(g.Oldest), 0).Round(time.Second))
	}
	switch {
	case g.Partitions == 0:
		r.add(noted, g.Group, fmt.Sprintf("its topic %s does not exist, see topics", g.Topic), "")
	case g.Members == 0:
		r.add(wrong, g.Group, says, "nothing consumes "+g.Topic+": start `sipeat worker`, or find in its log why it ended")
	case g.State != "Stable" || g.Lag > 0:
		r.add(noted, g.Group, says, "run doctor again: if it stays so, the worker's log and its /readyz say why")
	default:
		r.add(well, g.Group, says, "")
	}
}

func (a *app) checkDeadLetters(ctx context.Context, r *report) {
	var topics []string
	for _, t := range topicNames() {
		topics = append(topics, bus.DeadLetterTopic(t))
	}
	counts, err := kafka.CountDeadLetters(ctx, a.cluster, topics...)
	r.addError(err)
	for _, t := range topics {
		if c := counts[t]; c.Records > 0 {
			says := counted(c.Events, "rejected event")
			if !c.Complete {
				says = fmt.Sprintf("%d dead letters, of the newest %d", c.Records, c.Read)
			}
			var classes []string
			for _, class := range slices.Sorted(maps.Keys(c.Classes)) {
				classes = append(classes, fmt.Sprintf("%d %s", c.Classes[class], class))
			}
			r.add(noted, t, says+": "+strings.Join(classes, ", "), "see why: sipeat tail "+t+" --from-start --no-follow")
		}
	}
	if len(r.findings) == 0 {
		r.add(well, "", "none", "")
	}
}

// checkStore checks the read model, and that it holds what the consumer groups have committed.
func (a *app) checkStore(ctx context.Context, r *report) {
	where := a.settings.Store
	var groups []kafka.GroupState // read first, so that later commits do not make the read model look behind
	if len(a.cluster.Brokers) > 0 {
		groups, _ = a.groups(ctx) // an error is that of the groups, too
	}
	var err error
	if _, missing := os.Stat(where); where != settings.DynamoDB && errors.Is(missing, fs.ErrNotExist) {
		if err = checkMarks(store.Marks{}, groups); err == nil {
			r.add(noted, where, "the file does not exist yet", "the first API or worker creates it; is STORE the path that they use?")
			return
		}
	} else {
		err = a.checkModel(ctx, where, groups)
	}
	switch {
	case errors.Is(err, store.ErrBehind):
		r.add(wrong, where, err.Error(), "`sipeat rebuild --help` says how")
	case err != nil:
		r.add(wrong, where, err.Error(), "check STORE, and that this user may read and write it")
	default:
		r.add(well, where, "reachable, and holds what the groups have committed", "")
	}
}

func (a *app) checkModel(ctx context.Context, where string, groups []kafka.GroupState) error {
	s, err := a.openStore(ctx, where)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Ping(ctx); err != nil {
		return err
	}
	marks, err := s.Marks(ctx)
	if err != nil {
		return err
	}
	return checkMarks(marks, groups)
}

// checkMarks checks marks against what the groups have committed.
func checkMarks(marks store.Marks, groups []kafka.GroupState) error {
	for _, g := range groups {
		for partition, offset := range g.Committed {
			marks.Committed(g.Topic, partition, offset)
		}
	}
	return marks.Check()
}

// checkIssuer reads the keys that verify the tokens of staff.
func (a *app) checkIssuer(ctx context.Context, r *report) {
	auth := a.settings.Web.Auth
	if auth.Mode != "jwt" {
		return
	}
	if err := gateway.New(a.settings.Web, a.logger, time.Now).Ping(ctx); err != nil {
		r.add(wrong, auth.JWT.Issuer, err.Error(),
			"staff get 503 until its keys can be read: check the spelling of JWT_ISSUER, and that it can be reached from here")
		return
	}
	r.add(well, auth.JWT.Issuer, "its keys can be read", "")
}

// checkNotifiers connects to the notification channels, as far as that sends nothing.
func (a *app) checkNotifiers(ctx context.Context, r *report) {
	channels, err := a.openNotifier(ctx)
	if err != nil {
		r.add(wrong, "NOTIFY", err.Error(), "add the missing settings, or remove the channel from NOTIFY")
	}
	for _, c := range channels {
		says := "its settings are complete"
		if prober, ok := c.Notifier.(notify.Prober); ok {
			if says, err = prober.Probe(ctx); err != nil {
				r.add(wrong, c.Name, err.Error(), "notifications wait until this channel works")
				continue
			}
		}
		r.add(well, c.Name, says, "")
	}
}

func checkAPI(ctx context.Context, r *report, address string) {
	if address == "" {
		r.add(skipped, "", "pass its address: --api http://HOST:PORT", "")
		return
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/readyz", nil)
	if err == nil {
		var response *http.Response
		if response, err = http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode != http.StatusOK {
				err = errors.New(response.Status)
			}
		}
	}
	if err != nil {
		r.add(wrong, address, "not ready: "+err.Error(), "start `sipeat api`; its /readyz and its log say what is wrong")
		return
	}
	r.add(well, address, "ready", "")
}
