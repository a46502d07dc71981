# make demo    set up, draw faces, train on them: about three minutes on two cores
# make faces   set up, show faces of pretrained/ in seconds, without a training: a grid, a walk, and a
#              page with sliders
# make labels  set up, draw faces, train on them with their hair as the label: seven minutes
# make story   set up, make the figures of docs/story.md in runs/story: minutes
# make check   set up, look through the code, run the quick tests: under a minute on two cores
# make test    set up, run all tests: 13 to 16 minutes on two cores (Intel Xeon, 2.5 GHz)
# make train   set up, train with the article's settings:  make train DATA=photographs
# make compare set up, train all objectives on the same pictures, put them side by side:
#              make compare DATA=data/faces ARGS="--image-size 64 --inception inception.onnx"
#              (train and compare: DATA, OUT, ARGS; story: ARGS)
# make setup   set up only; DEVICE=cpu or gpu, PYTHON=path of a Python 3.6
# make clean   delete the environment and the drawn faces; runs/ is left alone

DATA ?= data/drawn
ARGS ?=
PY = .venv/bin/python
drawn = $(if $(filter data/drawn,$(DATA:/=)),data/drawn/face_001999.png)

# A variable that none of the targets uses is refused: it would be without effect, without a word.
of_all = DEVICE PYTHON CHECK PY
of_train = DATA OUT ARGS
of_compare = DATA OUT ARGS
of_story = ARGS
given = $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
targets = $(or $(MAKECMDGOALS),demo)
unused := $(filter-out $(of_all) $(foreach target,$(targets),$(of_$(target))),$(given))
$(if $(unused),$(error make $(targets) does not use $(unused). For your own images: \
	make train DATA=photographs OUT=runs/mine ARGS="--image-size 64"))

.PHONY: demo faces labels story check lint quick-tests test train compare setup clean

demo: runs/demo/faces.png
	@echo "The faces are in $<, all else in runs/demo; delete runs/demo to train again."

faces: setup
	@mkdir -p runs/faces
	@$(PY) wgan_generate.py pretrained --out runs/faces/grid.png --scale 2 --force
	@$(PY) wgan_walk.py pretrained --out runs/faces/walk.gif --scale 3 --force
	@$(PY) wgan_page.py pretrained --out runs/faces/page.html --force
	@echo "runs/faces has a grid, a walk, and page.html to play with. Your own images can start from pretrained/: see README.md"

labels: runs/labels/faces.png
	@$(PY) experiments/label_accuracy.py runs/labels --data data/drawn/hair.txt
	@echo "The faces are in $<, a row for each label."

# For a few minutes on a CPU, where the article has 50,000 iterations on a GPU: larger steps, fewer
# critic updates, no variation of colours.
same_colours = --brightness 0 --contrast 0 --saturation 0
quick = --preset quick --image-size 32 --iterations 3200 $(same_colours) --sample-every 160 \
	--checkpoint-every 400
short = --image-size 32 --iterations 1600 --learning-rate 2e-4 --beta2 0.9 --n-critic 3 \
	$(same_colours) --sample-every 80 --checkpoint-every 400

# A demo that was stopped goes on from its last checkpoint; one that has ended makes what is missing.
runs/demo/faces.png: | setup data/drawn/face_001999.png
	@how=--overwrite; ls -d runs/demo/checkpoints/step_*[0-9] >/dev/null 2>&1 && how=--resume; \
	$(PY) wgan_training.py --data data/drawn --out runs/demo $(quick) $$how
	@$(PY) wgan_generate.py runs/demo --out $@ --scale 2

runs/labels/faces.png: | setup data/drawn/hair.txt
	@how=--overwrite; ls -d runs/labels/checkpoints/step_*[0-9] >/dev/null 2>&1 && how=--resume; \
	$(PY) wgan_training.py --data data/drawn/hair.txt --labels map --out runs/labels $(short) $$how
	@$(PY) wgan_generate.py runs/labels --out $@ --columns 12 --scale 2

# The figures of docs/story.md, each by the experiment of its name; delete one to make it again.
# make story ARGS="--inception inception.onnx" measures the images with a network too.
story = parallel_lines optimal_discriminator vanishing_gradient critic_surfaces modes_found \
	loss_and_quality

story: $(story:%=runs/story/%.png)
	@echo "The figures are in runs/story; docs/story.md explains them."

runs/story/%.png: | setup data/drawn/face_001999.png
	@mkdir -p runs/story
	@$(PY) experiments/$*.py --out $@ $(if $(filter loss_and_quality,$*),$(ARGS))

data/drawn/face_001999.png data/drawn/hair.txt: | setup
	@$(PY) data/draw_faces.py --out data/drawn --count 2000

# Threads that wait for work sleep: tests and the programs that they start share the cores. With
# one thread only, CNTK crashes where a process first evaluates a network and then trains another.
# Two files of tests run at once; the tests of a file, which share what it makes, one by one. They start
# Python hundreds of times, which takes longer where it may not keep its bytecode.
pytest = env -u OMP_NUM_THREADS -u PYTHONDONTWRITEBYTECODE OMP_WAIT_POLICY=PASSIVE $(PY) -m pytest -n 2 --dist loadfile

# The linter runs beside the tests, which leave a core idle here and there.
check:
	@$(MAKE) --no-print-directory -j2 lint quick-tests

lint: setup
	@$(PY) -m flake8

quick-tests: setup
	@$(pytest) -m "not slow"

test: setup
	@$(pytest)

train: setup $(drawn)
	@$(PY) wgan_training.py --data "$(DATA)" --out "$(or $(OUT),runs/wgan)" $(ARGS)

compare: setup $(drawn)
	@$(PY) experiments/compare_objectives.py --data "$(DATA)" --out "$(or $(OUT),runs/compare)" $(ARGS)

setup:
	@DEVICE=$(DEVICE) ./setup.sh

clean:
	rm -rf .venv data/drawn .pytest_cache __pycache__ */__pycache__
