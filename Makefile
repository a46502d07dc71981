# make demo    set up, draw faces, train on them: about ten minutes on two cores
# make test    set up, run the tests
# make train   set up, train with the article's settings:  make train DATA=photographs
# make setup   set up only; DEVICE=cpu or gpu, PYTHON=path of a Python 3.6
# make clean   delete the environment and the drawn faces; runs/ is left alone

DATA ?= data/drawn
OUT ?= runs/wgan
ARGS ?=
PY = .venv/bin/python

.PHONY: demo test train setup clean

demo: setup
	@test -f data/drawn/face_001999.png || $(PY) data/draw_faces.py --out data/drawn
	@how=--overwrite; ls -d runs/demo/checkpoints/step_*[0-9] >/dev/null 2>&1 && how=--resume; \
	$(PY) wgan_training.py --data data/drawn --out runs/demo --image-size 32 --iterations 900 \
		--sample-every 100 --checkpoint-every 300 $$how
	@$(PY) wgan_generate.py runs/demo --out runs/demo/faces.png --force

test: setup
	@$(PY) -m pytest

train: setup
	@$(PY) wgan_training.py --data "$(DATA)" --out "$(OUT)" $(ARGS)

setup:
	@DEVICE=$(DEVICE) ./setup.sh

clean:
	rm -rf .venv data/drawn .pytest_cache __pycache__ */__pycache__
