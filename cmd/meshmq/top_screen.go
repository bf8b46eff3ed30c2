package main

import (
	"errors"
	"io"
	"os"
	"sync"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/watch"
)

// onTerminal reports whether somebody sits there who can read and press keys.
func onTerminal(cmd *cobra.Command) bool {
	return cmd.InOrStdin() == io.Reader(os.Stdin) && cmd.OutOrStdout() == io.Writer(os.Stdout) &&
		term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
}

// errQuit is the cause of the end when the person at the screen has seen enough.
var errQuit = errors.New("quit")

// live shows the screen until somebody quits, or the run ends.
func (l *looking) live(f *topFlags) error {
	program := tea.NewProgram(watch.NewScreen(f.layout, l.trouble), tea.WithoutSignalHandler()) // signals end l.ctx
	var polling sync.WaitGroup
	var polled error
	polling.Go(func() { // ended below, by the end of l.ctx, and awaited there
		shown := 0
		polled = l.each(true, func(v watch.View) (bool, error) {
			program.Send(v)
			if v.Alive() > 0 {
				shown++
			}
			return f.count == 0 || shown < f.count, nil
		})
		program.Quit()
	})
	_, err := program.Run()
	l.end(errQuit)
	polling.Wait()
	switch {
	case errors.Is(err, tea.ErrInterrupted):
		return fail(exitInterrupt, "interrupted")
	case err != nil:
		return err
	case errors.Is(polled, errQuit):
		return nil
	}
	return l.enough(f, polled)
}

// trouble is what there is to say of connections while there is none.
func (l *looking) trouble() string {
	connected, trouble := l.events.peerSeen()
	if connected {
		return ""
	}
	return trouble
}
