"""What estimators are made of: life of an estimator, model, inference, and their kinds."""
