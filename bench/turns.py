"""Two programs timed in turn: each waits in a process of its own until it is asked for a part.

For both Pythons, that of CNTK and that of the peer; needs nothing but Python. In turn, so that
what else the machine does falls on both alike.
"""

import resource
import subprocess
import sys
import time

IMAGES = 256              # in a turn of generation
WIDTH, LATENT = 32, 100     # of the networks
PAUSE = 0.25                # seconds between turns: OpenMP's threads spin for 0.2 after their work


def serve(parts, about=''):
    """In the child: run a part, a function by its name, each time it is asked for; say seconds.

    about: what computes them, in words.
    """
    print('ABOUT ' + about)
    print('PARTS ' + '|'.join(parts), flush=True)
    for line in sys.stdin:
        name = line.strip()
        if name == 'memory':                            # the most so far, in MB
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        else:
            start = time.perf_counter()
            parts[name]()
            answer = time.perf_counter() - start
        print('ANSWER %.9f' % answer, flush=True)


class Program:
    """In the parent: a program that serves. parts: the names of what it can be asked for.
    about: what computes them.
    """

    def __init__(self, *command):
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, universal_newlines=True)
        self.about = self._hear('ABOUT ')
        self.parts = self._hear('PARTS ').split('|')

    def ask(self, part):
        self.process.stdin.write(part + '\n')
        self.process.stdin.flush()
        return float(self._hear('ANSWER '))

    def _hear(self, prefix):
        for line in self.process.stdout:
            if line.startswith(prefix):
                return line[len(prefix):].rstrip('\n')
        raise RuntimeError('%s ended with code %s' % (' '.join(self.command), self.process.wait()))

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def in_turn(programs, rounds):
    """{(program, part): seconds of each round}; the first round warms up and is not counted.

    programs: {name: Program}.
    """
    seconds = {(name, part): [] for name in programs for part in programs[name].parts}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            for part in program.parts:
                taken = program.ask(part)
                if turn:
                    seconds[name, part].append(taken)
            time.sleep(PAUSE)
    return seconds
