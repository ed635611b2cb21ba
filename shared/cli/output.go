package cli

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/trace"
)

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// newLogger returns a logger with colours and short times on a terminal. Elsewhere a server logs JSON, other commands text.
func (a *app) newLogger() *slog.Logger {
	format, level := a.settings.LogFormat, a.settings.LogLevel
	if !isTerminal(a.stderr) || format == "json" {
		return observe.Logger(a.stderr, format == "json" || format == "" && a.server, level)
	}
	return terminalLogger(a.stderr, level, os.Getenv("NO_COLOR") != "")
}

func terminalLogger(w io.Writer, level slog.Leveler, noColor bool) *slog.Logger {
	return slog.New(trace.Logs(tint.NewTextHandler(w, &tint.Options{
		Level: level, TimeFormat: time.TimeOnly, NoColor: noColor, ReplaceAttr: withoutEscapes,
	})))
}

// withoutEscapes replaces ESC, which tint passes on to the terminal; it quotes all other controls.
func withoutEscapes(_ []string, a slog.Attr) slog.Attr {
	if text := a.Value.String(); strings.Contains(text, "\x1b") {
		a.Value = slog.StringValue(strings.ReplaceAll(text, "\x1b", "\ufffd"))
	}
	return a
}

// output is standard output. It keeps the first error, so that no printing function has to.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	o.err = cmp.Or(o.err, err)
	return n, err
}

// writeJSON writes a value, as one line without [indent]. Invalid UTF-8, which records may hold, becomes U+FFFD.
func (a *app) writeJSON(value any, options ...json.Options) error {
	text, err := json.Marshal(value, append(options, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))...)
	if err == nil {
		_, err = fmt.Fprintln(a.stdout, escapeControls(string(text)))
	}
	return err
}

// indent makes JSON readable that people read as often as programs.
var indent = jsontext.WithIndent("  ")

// escapeControls escapes in a JSON text the characters that JSON leaves as they are and a terminal obeys: DEL and C1, and those
// that turn the direction of a line or end it. The JSON means the same afterwards; invalid UTF-8 becomes U+FFFD.
func escapeControls(json string) string {
	var escaped strings.Builder
	for _, r := range json {
		if r >= 0x7f && events.IsControl(r) {
			fmt.Fprintf(&escaped, `\u%04x`, r)
		} else {
			escaped.WriteRune(r)
		}
	}
	return escaped.String()
}

// busy shows on a terminal what takes a while. What is printed next hides it.
func (a *app) busy(doing string) {
	if isTerminal(a.stderr) {
		fmt.Fprintf(a.stderr, "%s …\x1b[K\r", doing)
	}
}

// newBar makes a progress bar for a number of things, -1 if that is unknown. It is shown on a terminal.
func (a *app) newBar(things int64, name string) *progressbar.ProgressBar {
	return progressbar.NewOptions64(things, progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription(name),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(isTerminal(a.stderr)))
}

// printTable writes rows of cells that tabs separate, in columns.
func (a *app) printTable(rows ...string) {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(rows, "\n"))
	_ = table.Flush() // see output
}

// printable shows bytes of a record on one line of at most 4,000 characters; "-" = there are none.
func printable(b []byte) string { return cmp.Or(events.OneLine(string(b), 4000), "-") }

// printRows prints items as a table.
func printRows[T any](a *app, items []T, heading string, row func(T) string) {
	a.printTable(append([]string{heading}, collect(items, row)...)...)
}

// maxRows is how many rows of a table are shown: more than a screen, and not what a person reads.
const maxRows = 100

// printList prints items as lines of JSON, or as a table of at most [maxRows] rows and how many more there are.
func printList[T any](a *app, items []T, heading string, row func(T) string) error {
	if a.json {
		for _, item := range items {
			if err := a.writeJSON(item); err != nil {
				return err
			}
		}
		return nil
	}
	printRows(a, items[:min(len(items), maxRows)], heading, row)
	if more := len(items) - maxRows; more > 0 {
		fmt.Fprintf(a.stdout, "… and %d more; --json shows all\n", more)
	}
	return nil
}

var plainWord = regexp.MustCompile(`^[\w./:@%+,=-]+$`)

// word is a path or another text as one word of a command to paste, in quotes if a shell would interpret it.
func word(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// counted is a number and a noun, such as "1 event" and "2 events".
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// collect lists what of returns for each item.
func collect[T, R any](items []T, of func(T) R) (all []R) {
	for _, item := range items {
		all = append(all, of(item))
	}
	return all
}

func topicNames() []string {
	return collect(events.Catalogue(), func(d events.Definition) string { return d.Topic })
}
