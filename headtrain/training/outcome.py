"""The end of a run: its best checkpoint is tested, once, and what came out is written."""

from headtrain.evaluation.predictions import write_predictions
from headtrain.heads.checkpoint import load_head
from headtrain.runs.documents import Result, write_result
from headtrain.runs.folder import STATE, TEST
from headtrain.runs.results import predictions_of_test, with_test
from headtrain.training.epoch import predict_subset
from headtrain.training.member import Member
from headtrain.training.planned import Setup


def finish(member: Member, setup: Setup) -> Result:
    """Test the best checkpoint of a member that is finished. Raises OutputError and CollectionError."""
    run, epochs, test, view = member.planned.run, member.epochs, setup.subsets.test, member.config.training.eval_view
    (predicted,) = predict_subset([load_head(run, setup.device)], setup.collection, test, view)
    predictions = predictions_of_test(predicted, setup.collection, setup.subsets)
    best = [epoch for epoch in epochs if epoch.best][-1]
    lowest = [epoch for epoch in epochs if epoch.lowest_mse][-1:] or [best]
    trained = Result(
        run, setup.split, best=best, lowest_mse=lowest[0], epochs=len(epochs), preset=member.config.preset,
        seconds=sum(epoch.seconds for epoch in epochs),
    )  # fmt: skip
    result = with_test(trained, predictions, setup.collection, setup.subsets)
    write_predictions(run / TEST, predictions)
    write_result(result)
    (run / STATE).unlink(missing_ok=True)
    return result
