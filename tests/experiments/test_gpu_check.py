"""bench/gpu_check.py, with the CPU in both places: it passes, and finds what is planted in one."""

import pytest

from helpers import run_test_program

pytestmark = pytest.mark.slow
SMALL = ('--devices', 'cpu', 'cpu', '--sizes', 32, '--width', 2)


def planted(plant, *arguments, **variables):
    """(the lines of the table that are wrong, the Result)."""
    result = run_test_program('gpu_check_planted.py', *(arguments or SMALL), PLANT=plant,
                              **variables)
    return [line.split('   ')[0] for line in result.out.splitlines() if 'WRONG' in line], result


def test_nothing_is_wrong_with_other_kernels():
    """They round in another way, as a GPU does: that is not an error."""
    wrong, result = planted('other kernels')
    assert (result.code, wrong) == (0, []), result.out + result.err
    assert 'e-07' in result.out and ' deviate' in result.out and 'ready after' in result.out


@pytest.mark.parametrize('plant, part, found', [
    ('convolution', 'single_operations', ['convolution, 8 pixels']),
    ('transposed convolution', 'single_operations', ['transposed convolution, 32 pixels']),
    ('layer normalisation', 'single_operations', ['layer normalisation']),
    ('third call', 'single_operations', ['leaky ReLU']),
    ('third call', 'networks', ['critic loss with its penalty, 32 pixels']),
    ('other batch size', 'networks', ['generator loss, 32 pixels']),
    ('64 pixels', 'networks', ['critic loss with its penalty, 64 pixels']),
    ('fifth call', 'single_operations', ['product, the same call again']),
    ('third call', 'batch_normalization', ['batch normalisation']),
    ('statistics', 'batch_normalization', ['batch normalisation, statistics']),
    ('translation', 'augmentation', ['augmentation, 32 pixels']),
    ('overwritten', 'overwritten_gradient', ['penalty through a transposed convolution']),
    ('adam', 'updates', ['wgan-gp, critic weights', 'gan, generator weights',
                         'dragan, critic weights']),
    ('rmsprop', 'updates', ['wgan, critic weights']),
    ('statistics', 'updates', ['wgan, generator mean']),
    ('average', 'updates', ['gan, average weights']),
    ('checkpoint', 'checkpoints', ['dragan, checkpoint as it was saved',
                                   'wgan, checkpoint restored']),
    ('adam', 'checkpoints', ['wgan-gp, checkpoint continued, generator weights']),
    ('scoring', 'scoring', ['image network']),
])
def test_a_planted_error_is_found(plant, part, found):
    sizes = [32, 64] if plant == '64 pixels' else [32]
    # Of the parts that train, only the objectives that are looked at.
    of_objectives = dict(OBJECTIVES=' '.join(
        what.split(',')[0] for what in found)) if part in ('updates', 'checkpoints') else {}
    wrong, result = planted(plant, '--devices', 'cpu', 'cpu', '--width', 2, '--parts', part,
                            '--sizes', *sizes, **of_objectives)
    assert result.code == 1 and set(found) <= set(wrong), (wrong, result.err)
    if plant == '64 pixels':
        assert not any('32 pixels' in what for what in wrong)


def test_no_gpu():
    """It ends with the sentence of the process that found none."""
    result = run_test_program('gpu_check_planted.py', '--sizes', 32, PLANT='other kernels')
    assert 'CNTK finds no GPU' in result.sentence
