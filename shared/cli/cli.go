// Package cli is the sipeat command: one file per subcommand. It joins the parts; it has no rules of its own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/spf13/cobra"
)

// Exit statuses, for scripts.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or settings
)

// usageError marks errors of usage and settings.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// app is what the subcommands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	settings       settings.Settings
	logger         *slog.Logger
	aws            awsAccess
}

// Main runs the command line and returns the exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := interruptible()
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(stderr, "sipeat: "+strings.ReplaceAll(err.Error(), "\n", "\nsipeat: "))
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "sipeat",
		Short: "SipEat's event bus: drink orders and sales leads on Kafka",
		Long: "SipEat's event bus: drink orders and sales leads on Kafka.\n\n" +
			"API endpoints publish typed events to Kafka topics; one consumer per topic projects them into a\n" +
			"queryable read model and sends notifications.",
		Example: "  sipeat serve                            # everything in one process, on this machine\n" +
			"  sipeat publish contact-created < contacts.jsonl\n" +
			"  sipeat tail request-created",
		Version:           currentVersion().Version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error { return a.configure(c) },
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownCommand(c, args[0])
		},
		SuggestionsMinimumDistance: 2,
		RunE: func(c *cobra.Command, _ []string) error {
			return c.Help()
		},
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(wrongUsage)
	root.AddCommand(a.serveCommand(), a.apiCommand(), a.workerCommand(), a.topicsCommand(), a.doctorCommand(),
		a.publishCommand(), a.tailCommand(), a.invokeCommand(), a.sampleCommand(), a.rebuildCommand(), a.versionCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd("completion")
	for _, c := range allCommands(root) {
		switch c.Name() { // cobra lets an unknown shell and an unknown topic pass
		case "completion":
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		case "help":
			c.Args = func(c *cobra.Command, topic []string) error {
				if _, rest, err := root.Find(topic); err != nil || len(rest) > 0 {
					return unknownCommand(root, strings.Join(topic, " "))
				}
				return nil
			}
		}
		if args := c.Args; args != nil {
			c.Args = func(c *cobra.Command, given []string) error {
				if err := args(c, given); err != nil {
					return wrongUsage(c, err)
				}
				return nil
			}
		}
	}
	return root
}

func allCommands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, child := range c.Commands() {
		all = append(all, allCommands(child)...)
	}
	return all
}

func unknownCommand(root *cobra.Command, name string) error {
	hint := ""
	if near := root.SuggestionsFor(name); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q%s", name, hint)
}

func wrongUsage(c *cobra.Command, err error) error {
	return usageError{fmt.Errorf("%w\nsee `%s --help`", err, c.CommandPath())}
}

// configure reads the settings from the environment and .env.
func (a *app) configure(c *cobra.Command) error {
	if err := loadDotenv(); err != nil {
		return usageError{err}
	}
	var err error
	if a.settings, err = settings.Read(os.Getenv); err != nil {
		return usageError{err}
	}
	a.log(c)
	return nil
}

// interruptible returns a context that ends at the first SIGINT or SIGTERM. Later signals kill the process, except those of
// the next moment: `timeout` and others signal a process and its group.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(100*time.Millisecond, stop) })
	return ctx, stop
}
